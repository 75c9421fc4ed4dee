"""Chooses new versions of all dependencies, and writes the lock files. `make lock` runs it.

The versions come from the index that pip is set up for. The smaller files keep to the versions of the largest. They
are for all Pythons, so the oldest chooses: a later one would take what has left it behind.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from pip._internal.models.link import Link
from piptools.repositories import PyPIRepository
from piptools.scripts.compile import cli

CLIENTS = Path("tests/voice/clients")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
OLDEST = "python3.11"
LOCKS = {
    "requirements-dev.lock": ["--extra", "local", "--extra", "dev", "pyproject.toml"],
    "requirements-local.lock": ["--extra", "local", "--constraint", "requirements-dev.lock", "pyproject.toml"],
    "requirements.lock": ["--constraint", "requirements-dev.lock", "pyproject.toml"],
    # What these require differs between Pythons: each chooses its own.
    f"{CLIENTS}/{PYTHON}.lock": [f"{CLIENTS}/python.in"],
}
# No options in the file: they would name this machine's index.
OPTIONS = ["--quiet", "--upgrade", "--strip-extras", "--generate-hashes", "--allow-unsafe", "--no-emit-options"]

hash_by_download = PyPIRepository._get_file_hash


def hash_of_file(repository: PyPIRepository, link: Link) -> str:
    """The hash that the index gives with its link. pip-tools ignores it: without the index's own JSON interface it
    downloads every file of every release, for all systems, which are gigabytes."""
    return f"sha256:{link.hash}" if link.hash_name == "sha256" else hash_by_download(repository, link)


def versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE)) if lock.exists() else {}


def main() -> None:
    os.chdir(Path(__file__).parents[1])
    os.environ |= {"CUSTOM_COMPILE_COMMAND": "make lock", "PIP_NO_INPUT": "1"}
    PyPIRepository._get_file_hash = hash_of_file
    PyPIRepository._get_project = lambda *_: None  # from PyPI's JSON interface: the links say as much
    for name, options in LOCKS.items():
        if PYTHON != OLDEST and PYTHON not in name:
            print(f"{name}: left as it is, which only {OLDEST} can renew (this is {PYTHON})", flush=True)
            continue
        lock, started = Path(name), time.monotonic()
        before = versions(lock)
        print(f"{name}: choosing versions (a minute or two) ...", flush=True)
        cli.main([*OPTIONS, *options, "--output-file", name], standalone_mode=False)
        after = versions(lock)
        for package in sorted(before.keys() | after.keys()):
            if before.get(package) != after.get(package):
                print(f"  {package} {before.get(package, '(new)')} -> {after.get(package, '(gone)')}")
        print(f"{name}: {len(after)} packages, in {time.monotonic() - started:.0f} s", flush=True)
    print(f"{CLIENTS}/package-lock.json: choosing versions ...", flush=True)
    npm = [Path(sys.executable).with_name("npm"), "update", "--package-lock-only", "--omit-lockfile-registry-resolved"]
    subprocess.run([*npm, "--no-audit", "--no-fund", "--loglevel", "error"], cwd=CLIENTS, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
