"""What can be said of the Dockerfile, compose.yaml and the systemd units without building or starting anything."""

import ast
import configparser
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from config.processes import uvicorn
from tests.docs.pages import DOCS, ROOT, blocks
from tests.docs.test_settings import read_by_settings

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
# Read by boto3 and by the other two images, not by our settings.
OF_OTHERS = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "FORWARDED_ALLOW_IPS"),
    *("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
}
OURS = {"setup", "web", "worker"}


def instructions():
    """(instruction, its arguments) of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines()]


def copied():
    """The names in this folder that are copied into the image."""
    found = []
    for instruction, arguments in instructions():
        words = arguments.split()
        if instruction == "COPY" and not words[0].startswith("--from"):
            found += words[:-1]
    return found


def web_command(arguments):
    """uvicorn's command line without the Python, host and port."""
    words = list(arguments)
    words = words[words.index("-m") :]
    for option in ("--host", "--port"):
        at = words.index(option)
        del words[at : at + 2]
    return words


def test_every_source_that_is_copied_exists():
    assert copied()
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_every_package_of_ours_is_copied():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}

    assert packages | {"templates", "manage.py"} <= set(copied())


def test_the_build_is_given_what_is_copied_and_nothing_secret():
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in lines
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == set(copied())


def test_the_image_is_of_a_python_that_earshot_runs_on():
    supported = re.search(r'requires-python = "([^"]+)"', (ROOT / "pyproject.toml").read_text())[1]
    images = [arguments for instruction, arguments in instructions() if instruction == "FROM"]

    assert supported.startswith(">=3.11")
    assert all(image.startswith("python:3.13-") for image in images)


def test_the_image_and_the_unit_serve_as_make_serve_does():
    expected = web_command(uvicorn("0.0.0.0", 8000))
    [image] = [json.loads(arguments) for instruction, arguments in instructions() if instruction == "CMD"]
    unit = units()["web server"]["Service"]["ExecStart"]

    assert web_command(image) == expected
    assert web_command(shlex.split(unit)) == expected


def units():
    """The systemd units of the page for operators, by what they run."""
    found = {}
    for block in blocks(DOCS / "operate.md"):
        if block.text.startswith("[Unit]"):
            unit = configparser.ConfigParser(interpolation=None)
            unit.optionxform = str
            unit.read_string(block.text)
            found[unit["Unit"]["Description"].removeprefix("Earshot ")] = unit
    return found


def test_each_unit_gives_its_processes_the_time_they_ask_for():
    assert set(units()) == {"web server", "worker"}
    for unit in units().values():
        assert unit["Service"]["KillMode"] == "mixed"  # the first process ends the others in their order
        assert int(unit["Service"]["TimeoutStopSec"]) >= 40


def test_the_site_is_a_web_server_a_worker_a_database_and_a_storage():
    assert set(COMPOSE["services"]) == {*OURS, "database", "storage", "bucket"}


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_names_only_settings_services_and_volumes_that_there_are(name):
    service = COMPOSE["services"][name]

    assert set(service["environment"]) <= set(read_by_settings()) | OF_OTHERS
    assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
    assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in COMPOSE["services"][other]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_share_one_image_and_one_set_of_settings(name):
    service, web = COMPOSE["services"][name], COMPOSE["services"]["web"]

    assert (service["image"], service["build"]) == ("earshot", ".")
    assert service["environment"] == web["environment"]
    assert service["stop_grace_period"] == "40s"


@pytest.mark.parametrize("name", ["setup", "worker"])
def test_a_command_of_ours_is_one_of_manage_py(name):
    python, script, command = COMPOSE["services"][name]["command"]

    assert (python, script) == ("python", "manage.py")
    assert (ROOT / "config" / "management" / "commands" / f"{command}.py").exists()


def test_the_health_check_is_a_program():
    ast.parse(COMPOSE["services"]["web"]["healthcheck"]["test"][-1])


def test_images_of_others_are_pinned_to_a_version():
    for name in set(COMPOSE["services"]) - OURS:
        tag = COMPOSE["services"][name]["image"].partition(":")[2]
        assert tag
        assert tag != "latest"


def test_the_hooks_before_a_commit_download_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert [repo["repo"] for repo in hooks] == ["local"]
    for hook in hooks[0]["hooks"]:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        assert (Path(sys.prefix) / program.removeprefix(".venv/")).exists()
