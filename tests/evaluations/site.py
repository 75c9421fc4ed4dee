"""The site as it is served: uvicorn on a loopback port, on the test database."""

import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from config.processes import uvicorn
from tests.evaluations.cluster import ROOT, environment
from tests.waiting import wait_for


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class ServedSite:
    address: str  # without a slash at its end
    log: Path
    process: subprocess.Popen


@contextmanager
def served_site(folder, **env):
    """Yields a ServedSite, with settings of its own."""
    log, port = Path(folder) / "site.log", free_port()
    address = f"http://127.0.0.1:{port}"
    with log.open("ab") as out:
        process = subprocess.Popen(
            uvicorn("127.0.0.1", port),
            cwd=ROOT,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(lambda: process.poll() is not None or answers(address))
            yield ServedSite(address, log, process)
        finally:
            process.terminate()
            process.wait(120)


def answers(address):
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False
