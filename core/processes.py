"""Starts and stops processes. Each leads its own process group and ends with the process that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from django.conf import settings

PARENT_DEATH = Path(__file__).with_name("parent_death.py")
PATIENCE = 10.0  # seconds to end before it is killed, by which nothing is lost
LONGEST_PAUSE = 60.0  # seconds between two starts of a process that keeps dying


def manage(*arguments: str) -> list[str]:
    """The command line of `manage.py` with `arguments`, by this Python."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


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
    """Terminate `process`, and after `patience` seconds kill its whole group."""
    process.terminate()  # the leader only: it stops the others in order
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group of `process`, also if the leader is dead already."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt inside on SIGTERM and SIGHUP as on Ctrl-C, and suppress it on exit. `finally` blocks
    inside stop what was started."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean-up
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
    """The pauses between restarts of a process: none first, then longer ones while it keeps dying."""

    def __init__(self) -> None:
        self.pause = 0.0
        self.started = time.monotonic()

    def next_pause(self) -> float:
        """Count one more death; returns the seconds to wait."""
        lived_well = time.monotonic() - self.started > LONGEST_PAUSE
        self.pause = 0.0 if lived_well else min(2 * self.pause + 1, LONGEST_PAUSE)
        self.started = time.monotonic() + self.pause
        return self.pause
