"""Clients from their registries, every version locked, kept in the temporary directory from one run to the next."""

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from functools import cache
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
OUR_LOCK = HERE.parents[2] / "requirements-dev.lock"
NODE_LOCK = HERE / "package-lock.json"
PYTHON_LOCK = HERE / f"python{sys.version_info.major}.{sys.version_info.minor}.lock"
TRIES = 3
PATIENCE = 240.0  # seconds for one command of an installation


def node_clients():
    """A folder whose scripts may import what package.json names. Skips the test where that cannot be installed."""
    return _or_skip(NODE_LOCK, _install_node)


def python_clients():
    """The Python of an environment of its own with what python.in names. Packages that this one has in the same
    version it takes from here. Skips the test where they cannot be installed."""
    return _or_skip(PYTHON_LOCK, _install_python) / "bin" / "python"


def _or_skip(lock, install):
    folder, problem = _installed(lock, install)
    if problem:
        pytest.skip(problem)
    return folder


@cache
def _installed(lock, install):
    """The folder, and why nothing is in it. `.ci/run` knows the words."""
    versions = zlib.crc32(lock.read_bytes() + OUR_LOCK.read_bytes() + sysconfig.get_path("purelib").encode())
    folder = Path(tempfile.gettempdir()) / f"earshot-clients-{versions:x}-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with (folder / "busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)  # other processes wait meanwhile
        if (folder / "installed").exists():
            return folder, ""
        for _ in range(TRIES):
            try:
                install(folder)
            except subprocess.TimeoutExpired:
                problem = f"longer than {PATIENCE:.0f} s"
            except subprocess.CalledProcessError as error:
                problem = " ".join(error.stderr.strip().splitlines()[-1:])
            else:
                (folder / "installed").touch()
                return folder, ""
    return folder, f"clients of {lock.name} not installed after {TRIES} tries: {problem}"


def _install_node(folder):
    for name in ("package.json", NODE_LOCK.name):
        shutil.copy(HERE / name, folder)
    _run(BIN / "npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund")


def _install_python(folder):
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "here.pth").write_text(sysconfig.get_path("purelib"))
    # Compiled is what is imported, when it is; what is built, is built by our setuptools.
    flags = ["--quiet", "--no-compile", "--disable-pip-version-check", "--no-build-isolation"]
    locked = ["--no-deps", "--require-hashes", "--requirement", PYTHON_LOCK]
    _run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", *flags, *locked)


def _run(*command):
    subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)


def run_script(command, live, folder, way):
    """What a client's script prints at its end: one line of JSON."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ADDRESS": live.api.replace("http", "ws", 1) + "/realtime",
        "API": live.api,
        "API_KEY": live.key,
        "FOLDER": str(folder),
        "WAY": way,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]
