"""A real qcluster process on the test database."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent.parent

# So that a lost worker is found within seconds.
QUICK = {"SHARD_LEASE_SECONDS": "3", "SWEEP_SECONDS": "1"}


def database_url():
    """The address of the database that this test runs on, for another process."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    given = os.environ["DATABASE_URL"]
    before, _, query = given.partition("?")
    return f"{before.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def environment(**more):
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
        **QUICK,
        **more,
    }


class Cluster:
    def __init__(self, log, **env):
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=ROOT,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self):
        """kill -9 of the whole cluster: parent, workers, pusher, monitor."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_cluster(tmp_path, **env):
    with (tmp_path / "cluster.log").open("ab") as log:
        cluster = Cluster(log, **env)
        try:
            yield cluster
        finally:
            cluster.kill()
