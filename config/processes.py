"""Processes that Earshot starts: each leads a process group of its own and ends with whoever started it."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from django.conf import settings

logger = logging.getLogger(__name__)

PARENT_DEATH = Path(__file__).with_name("parent_death.py")
DRAIN_SECONDS = 30  # for requests under way when a web server is told to stop
PATIENCE = 10.0  # seconds to end by itself; killing loses nothing, so there is no need for more
LONGEST_PAUSE = 60.0  # seconds between two starts of something that keeps dying


def manage(*arguments: str) -> list[str]:
    """The command line of `manage.py` with `arguments`, by this Python."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def uvicorn(host: str, port: int) -> list[str]:
    """The command line of the web server. It logs no requests: addresses hold what people search for.

    Told to stop, it takes nothing new, and gives what is under way DRAIN_SECONDS to end.
    """
    options = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", str(DRAIN_SECONDS)]
    options += ["--lifespan", "on"]
    # One append of audio is 15 MiB, a third more in base64. Speech is compressed already, or does not compress.
    options += ["--ws-max-size", str(21 * 1024 * 1024), "--ws-per-message-deflate", "false"]
    quiet = ["--no-access-log", "--no-server-header", "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", "config.asgi:application", *options, *quiet]


def start(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of a new process group, with `environment` on top of this process's."""
    return subprocess.Popen(  # noqa: S603  (only ever our own command lines)
        [sys.executable, "-I", "-S", str(PARENT_DEATH), str(os.getpid()), *command],
        cwd=settings.BASE_DIR,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """End `process` and everything in its group: `patience` seconds for it to do so by itself, then by force."""
    process.terminate()  # the leader alone: it knows in which order the others end
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole group of `process` at once, also what is left of it when its leader is dead."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGTERM and a closed terminal raise KeyboardInterrupt as Ctrl-C does; coming out of it by one is no
    error. `finally` blocks inside are where to stop what was started."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C does not break the stopping off
        raise KeyboardInterrupt

    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Restarts:
    """How long to wait before starting something again: not at all, then ever longer while it keeps dying."""

    def __init__(self) -> None:
        self.pause = 0.0
        self.started = time.monotonic()

    def next_pause(self) -> float:
        """seconds; counts one more death."""
        lived_well = time.monotonic() - self.started > LONGEST_PAUSE
        self.pause = 0.0 if lived_well else min(2 * self.pause + 1, LONGEST_PAUSE)
        self.started = time.monotonic() + self.pause
        return self.pause


class Group:
    """Processes that are started together, kept alive, and stopped together."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = environment
        self.commands: dict[str, Sequence[str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        self.commands[name] = command
        self.processes[name] = start(command, self.environment)

    def keep_alive(self) -> None:
        """Start again whatever dies, for ever."""
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
            stop(process, max(DRAIN_SECONDS, PATIENCE) + 5)  # a watchdog gives its own worker PATIENCE


@contextmanager
def worker_running(environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A worker under its watchdog while the block runs; none of its processes is left afterwards."""
    process = start(manage("watchdog"), environment)
    try:
        yield process
    finally:
        stop(process, PATIENCE + 5)


def answers(host: str, port: int, seconds: float = 60) -> bool:
    """True as soon as something listens at `port`; False where nothing does for so long."""
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
