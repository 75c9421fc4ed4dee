"""The install depends on the lock file alone: not on what was published since, nor on the age of pip."""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST_PIP = "23.0"  # Debian 12's, with Python 3.11; other Pythons are served from the pip that they bring
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = f".venv/lib/python{HERE}/site-packages"


class Tree:
    """A folder with a copy of the real script, an index of wheels, and a lock file that names some of them."""

    def __init__(self, folder):
        self.folder = folder
        self.index = folder / "index"
        self.index.mkdir()
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "install", folder / "scripts")
        self.lock = folder / "app.lock"
        self.lock.touch()

    def publish(self, name, version, *, requires=(), extras=(), tag="py3-none-any"):
        """Put a wheel with a module of the same name into the index."""
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        metadata += [f"Provides-Extra: {extra}" for extra in extras]
        metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
        files = {
            f"{name}.py": f"version = {version!r}\n",
            f"{info}/METADATA": "\n".join(metadata) + "\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = [f"{path},sha256={_base64_digest(text)},{len(text)}" for path, text in files.items()]
        files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
        path = self.index / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for member, text in files.items():
                wheel.writestr(member, text)
        return path

    def publish_source(self, name, version):
        """Put a source archive into the index that cannot be built."""
        path = self.index / f"{name}-{version}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for member, text in {"PKG-INFO": f"Name: {name}\nVersion: {version}\n", "setup.py": "1 / 0\n"}.items():
                entry = tarfile.TarInfo(f"{name}-{version}/{member}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return path

    def pin(self, path):
        """Add a file of the index to the lock file."""
        name, version = path.name.removesuffix(".tar.gz").split("-")[:2]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with self.lock.open("a") as lock:
            lock.write(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")

    def install(self, **environment):
        """Run the script, with pip set up for the index of this tree."""
        settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PYTHON": sys.executable}
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        return subprocess.run(
            [self.folder / "scripts" / "install", "app.lock"],
            env={**bare, "PIP_CONFIG_FILE": os.devnull, **settings, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def last_line(self, **environment):
        """Of an installation that fails."""
        done = self.install(**environment)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.strip().splitlines()[-1]

    def installed(self):
        """Versions by name, as pip lists them."""
        python = self.folder / ".venv" / "bin" / "python"
        done = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
        return dict(line.split("==") for line in done.stdout.split())


def _base64_digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


@pytest.fixture(scope="session")
def oldest_pip(tmp_path_factory):
    """A virtual environment with the oldest pip that can be had for this Python."""
    venv = tmp_path_factory.mktemp("oldest-pip") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=300)
    (packages,) = venv.glob("lib/python*/site-packages")
    wheel = _pip_wheel(tmp_path_factory.mktemp("pip"))
    if wheel is None:
        pytest.skip("no old pip: the index has none, and this Python brings none")
    zipfile.ZipFile(wheel).extractall(packages)
    return venv


def _pip_wheel(folder):
    """Python 3.12 and later do not run pip 23.0."""
    if sys.version_info < (3, 12):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*command, f"pip=={OLDEST_PIP}"], capture_output=True, timeout=300)
    bundled = Path(sys.base_prefix, f"lib/python{HERE}/ensurepip/_bundled")
    return next((wheel for place in (folder, bundled) for wheel in place.glob("pip-*.whl")), None)


@pytest.fixture
def tree(tmp_path, oldest_pip):
    shutil.copytree(oldest_pip, tmp_path / ".venv", symlinks=True)
    return Tree(tmp_path)


def with_an_extra(tree):
    """A client that asks for `auth[requests]`; of auth a newer release lies in the index than the lock file names."""
    tree.pin(tree.publish("client", "1.0", requires=["auth[requests]>=1"]))
    tree.pin(tree.publish("auth", "1.0", requires=["transport; extra == 'requests'"], extras=["requests"]))
    tree.publish("auth", "1.1", requires=["transport; extra == 'requests'"], extras=["requests"])


def test_what_the_lock_file_names_is_installed_though_something_newer_was_published(tree):
    with_an_extra(tree)
    tree.pin(tree.publish("transport", "1.0"))
    done = tree.install()
    assert done.returncode == 0, done.stderr
    assert tree.installed() == {"client": "1.0", "auth": "1.0", "transport": "1.0"}


def test_the_virtual_environment_is_made_where_it_is_missing(tree):
    shutil.rmtree(tree.folder / ".venv")
    with_an_extra(tree)
    tree.pin(tree.publish("transport", "1.0"))
    done = tree.install()
    assert done.returncode == 0, done.stderr
    assert "Making .venv with Python" in done.stdout
    assert tree.installed()["auth"] == "1.0"


def test_a_lock_file_that_lacks_a_requirement_is_refused(tree):
    tree.pin(tree.publish("client", "1.0", requires=["helper>=2"]))
    tree.publish("helper", "2.0")
    done = tree.install()
    assert done.returncode == 1
    assert "client 1.0 requires helper, which is not installed" in done.stderr
    assert ".venv is not complete" in done.stderr


def test_a_file_that_was_changed_is_named_as_the_cause(tree):
    path = tree.publish("client", "1.0")
    tree.pin(path)
    with zipfile.ZipFile(path, "a") as wheel:
        wheel.writestr("more.py", "")
    assert "its hash differs" in tree.last_line()


def test_a_release_without_a_wheel_for_this_python_is_named_as_the_cause(tree):
    tree.pin(tree.publish("client", "1.0", tag="cp39-cp39-win32"))
    assert f"The index has no file of client==1.0 for Python {HERE}" in tree.last_line()


def test_a_package_that_cannot_be_built_is_named_as_the_cause(tree):
    tree.pin(tree.publish_source("client", "1.0"))
    assert "A package has no wheel for this system" in tree.last_line()


def test_a_full_disk_is_named_as_the_cause(tree):
    tree.pin(tree.publish("client", "1.0"))
    full = "def full(*_):\n    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
    code = f"import errno, os, shutil\n{full}shutil.copyfileobj = full\n"
    (tree.folder / SITE_PACKAGES / "full_disk.py").write_text(code)
    (tree.folder / SITE_PACKAGES / "full_disk.pth").write_text("import full_disk\n")
    assert "There is no space left on the disk" in tree.last_line()


def test_only_an_index_that_does_not_answer_is_blamed(tree):
    tree.pin(tree.publish("client", "1.0"))
    nobody = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_FIND_LINKS": "/nowhere"}
    assert "The package index that pip is set up for did not answer" in tree.last_line(**nobody, PIP_RETRIES="0")


def test_python_3_12_is_refused_with_the_reason_and_advice(tree, tmp_path):
    shutil.rmtree(tree.folder / ".venv")
    python = tmp_path / "python3.12"
    pretend = "import sys; sys.version_info = (3, 12, 3, 'final', 0); exec(sys.argv[2])"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$@"\n')
    python.chmod(0o755)
    done = tree.install(PYTHON=str(python))
    assert done.returncode == 1
    assert f"Python 3.12 is here ({python})" in done.stderr
    assert "has no wheel for 3.12" in done.stderr
    assert "On Ubuntu 24.04" in done.stderr
    assert not (tree.folder / ".venv").exists()
