"""The site as it is served: uvicorn on a loopback port, on the test database."""

import socket
import subprocess
from contextlib import contextmanager

import httpx

from config.processes import uvicorn
from tests.evaluations.cluster import ROOT, environment
from tests.waiting import wait_for


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_site(tmp_path, **env):
    """Yields its address."""
    port = free_port()
    command = uvicorn("127.0.0.1", port)
    with (tmp_path / "site.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**env), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: answers(address))
            yield address
        finally:
            process.terminate()
            process.wait(120)


def answers(address):
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False
