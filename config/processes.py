"""Starts and stops the web server and the workers as processes, singly and in groups."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from core.processes import PATIENCE, Restarts, kill, manage, start, stop

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 30  # that requests under way have to end when a web server is told to stop


def uvicorn(host: str, port: int) -> list[str]:
    """Return the command line of the web server. It logs no requests, since addresses hold what people search for.

    When it is told to stop, it accepts no requests, and gives those under way DRAIN_SECONDS to end.
    """
    options = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", str(DRAIN_SECONDS)]
    options += ["--lifespan", "on"]
    # An append event holds up to 15 MiB of audio, a third more in base64. Compressing audio again would gain nothing.
    options += ["--ws-max-size", str(21 * 1024 * 1024), "--ws-per-message-deflate", "false"]
    quiet = ["--no-access-log", "--no-server-header", "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", "config.asgi:application", *options, *quiet]


class ProcessGroup:
    """Processes that are started together, kept alive, and stopped together."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = environment
        self.commands: dict[str, Sequence[str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        self.commands[name] = command
        self.processes[name] = start(command, self.environment)

    def keep_alive(self) -> None:
        """Restart processes that end, until interrupted."""
        restarts = {name: Restarts() for name in self.commands}
        due: dict[str, float] = {}
        while True:
            for name, process in self.processes.items():
                if process.poll() is None:
                    continue
                if name not in due:
                    kill(process)
                    due[name] = time.monotonic() + restarts[name].next_pause()
                    logger.error("The %s ended by itself with code %s; starting it again.", name, process.returncode)
                elif time.monotonic() >= due[name]:
                    del due[name]
                    self.start(name, self.commands[name])
            time.sleep(0.2)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            stop(process, max(DRAIN_SECONDS, PATIENCE) + 5)  # a watchdog waits PATIENCE for its worker


@contextmanager
def worker_running(environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker under its watchdog while the block runs; stop all their processes afterwards."""
    process = start(manage("watchdog"), environment)
    try:
        yield process
    finally:
        stop(process, PATIENCE + 5)


def answers(host: str, port: int, seconds: float = 60) -> bool:
    """Wait until a server listens at `port`. Returns False where none does within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
        time.sleep(0.1)
    return False


def port_is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
