"""A whole site of its own: a new database, media folder and .env, and real processes of it."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MARK = "EARSHOT_TEST_SITE"  # in the environment of every process of a site
# Settings of the machine that runs the tests are not the site's.
NOT_INHERITED = {"DJANGO_SETTINGS_MODULE", "SECRET_KEY", "ENV_FILE", "MEDIA_ROOT", "DATABASE_URL"}


class Site:
    def __init__(self, folder, database_url):
        self.folder = folder
        self.id = uuid.uuid4().hex
        self.database_url = database_url
        self.port = free_port()
        self.log = folder / "site.log"
        self.started = []
        self.environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED} | {
            MARK: self.id,
            "ENV_FILE": str(folder / ".env"),
            "DATABASE_URL": database_url,
            "MEDIA_ROOT": str(folder / "media"),
        }
        self.python("-m", "config.dotenv", check=True)

    def manage(self, *arguments, check=False, **environment):
        """Run a command to its end."""
        return self.python("manage.py", *arguments, check=check, **environment)

    def python(self, *arguments, check=False, **environment):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=300,
        )

    def start(self, *arguments, **environment):
        """Start a command of `manage.py` as a terminal would: the leader of a process group."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def processes(self):
        """{process: its command line} of every living process of this site, whoever started it."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{MARK}={self.id}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def processes_of(self, words):
        return sorted(process for process, command in self.processes().items() if words in command)

    def kill_all(self):
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in self.started:
            process.wait()

    def rows(self, query):
        if self.database_url.startswith("sqlite"):
            with closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"))) as connection:
                return connection.execute(query).fetchall()
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def set_up_database(tmp_path_factory):
    """The address of a database as `setup` leaves it, to be copied."""
    folder = tmp_path_factory.mktemp("set-up")
    site = Site(folder, new_database(folder))
    site.manage("setup", check=True)
    yield site.database_url
    drop_database(site.database_url)


@pytest.fixture
def bare_site(tmp_path):
    """A site with an empty database; none of its processes outlives the test."""
    yield from living(Site(tmp_path, new_database(tmp_path)))


@pytest.fixture
def site(tmp_path, set_up_database):
    """A site that is set up; none of its processes outlives the test."""
    yield from living(Site(tmp_path, new_database(tmp_path, like=set_up_database)))


def living(site):
    try:
        yield site
    finally:
        site.kill_all()
        drop_database(site.database_url)
        if site.log.exists():
            sys.stdout.write(site.log.read_text())  # seen where the test fails


def new_database(folder, like=None):
    """The address of a new database, a copy of the one at `like`."""
    if os.environ.get("TEST_DATABASE") != "postgresql":
        path = folder / "site.sqlite3"
        if like:
            shutil.copy(like.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"
    name = f"site_{uuid.uuid4().hex}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {name_in(like)}" if like else ""))
    before, _, query = os.environ["DATABASE_URL"].partition("?")
    return f"{before.rpartition('/')[0]}/{name}?{query}"


def drop_database(url):
    if not url.startswith("sqlite"):
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name_in(url)} WITH (FORCE)")


def name_in(url):
    return url.partition("?")[0].rpartition("/")[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
