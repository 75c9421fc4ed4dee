"""The lock files name everything that what they name requires, on every Python that is served."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "requirements.lock": [],
    "requirements-local.lock": ["local"],
    "requirements-dev.lock": ["local", "dev"],
}


def locked(name):
    """Versions by name."""
    pins = re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in pins}


def asked_for(lock):
    """The project's own requirements that a lock file is for."""
    optional = [text for extra in EXTRAS[lock] for text in PROJECT["optional-dependencies"][extra]]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *optional]]


def requirements_of(package, extras, environment):
    """What an installed distribution requires where it is asked for with these extras."""
    for text in distribution(package).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ["", *extras]):
            yield requirement


def closure(lock, environment):
    """(who asks, requirement) for all that is required, directly or not."""
    waiting = [("pyproject.toml", requirement) for requirement in asked_for(lock)]
    seen = set()
    while waiting:
        asker, requirement = waiting.pop()
        yield asker, requirement
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += [(name, each) for each in requirements_of(name, requirement.extras, environment)]


@pytest.mark.parametrize("lock", EXTRAS)
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_a_lock_file_names_every_requirement_of_what_it_names(lock, python):
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    pins, missing = locked(lock), []
    try:
        for asker, requirement in closure(lock, environment):
            version = pins.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                missing.append(f"{asker} asks for {requirement}; {lock} has {version}")
    except PackageNotFoundError as error:
        missing.append(f"{error.name} is required and not installed; {lock} has {pins.get(error.name)}")
    assert not missing


def test_what_is_installed_here_is_what_the_lock_file_names():
    """Otherwise the requirements above are those of other releases. `make test` installs it."""
    pins = locked("requirements-dev.lock")
    assert {name: distribution(name).version for name in pins} == pins


def test_the_smaller_lock_files_name_the_same_releases():
    largest = locked("requirements-dev.lock").items()
    assert locked("requirements.lock").items() <= locked("requirements-local.lock").items() <= largest


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_file_leaves_the_index_to_pip(lock):
    assert not re.findall(r"^--.*|.*://.*", (ROOT / lock).read_text(), re.MULTILINE)
