"""Child processes that answer requests, for code that may crash, hang or hold the GIL.

A child is asked over a socket that is its stdin and stdout. It ends with whoever started it, however that ended: its
stdin is over then. (The kernel's own signal for that, as in `parent_death.py`, comes when the thread that started it
ends.) Children import this module, and no Django.
"""

import atexit
import io
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar, cast

ROOT = Path(__file__).resolve().parent.parent
# Children parse untrusted data: their environment holds no secrets of the site.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # there is a child for each core
GRACE_SECONDS = 5.0  # seconds after which a child ends itself if its parent has not

T = TypeVar("T")


def python(module: str) -> list[str]:
    """Return the command line that runs a module by this Python."""
    return [sys.executable, "-m", module]


class ChildProcess:
    """A running child. Not thread-safe, except `kill`."""

    def __init__(self, command: Sequence[str], folder: Path = ROOT) -> None:
        """Start the child. Raises OSError if that fails."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = subprocess.Popen(  # noqa: S603  (only ever our own command lines)
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,  # libraries print what they read and hear
                    cwd=folder,
                    env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | ONE_THREAD,
                    start_new_session=True,  # Ctrl-C is for the site, which ends its children in order
                )
        except BaseException:
            ours.close()
            raise
        self._socket = _Deadlined(ours)
        self._answers = io.BufferedReader(self._socket)

    def ask(self, request: bytes, read: Callable[[BinaryIO], T], seconds: float) -> T:
        """What `read` makes of the answer to `request`; it raises EOFError where the answer breaks off.

        Raises TimeoutError after `seconds`, EOFError where the child has died. It has been killed then: what it might
        still answer would be taken for the answer to the next request.
        """
        self._socket.deadline = time.monotonic() + seconds
        try:
            self._socket.send(request)
            return read(cast(BinaryIO, self._answers))
        except (BrokenPipeError, ConnectionResetError) as error:
            self.kill()
            raise EOFError from error
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.wait()
        self._answers.close()


class _Deadlined(io.RawIOBase):
    """One end of a socket. Raises TimeoutError once `deadline` (by `time.monotonic`) has passed."""

    def __init__(self, connection: socket.socket) -> None:
        self.deadline = math.inf
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        self._connection.settimeout(self._left())
        return self._connection.recv_into(buffer)

    def send(self, data: bytes) -> None:
        self._connection.settimeout(self._left())
        self._connection.sendall(data)

    def close(self) -> None:
        self._connection.close()
        super().close()

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class OnePerProcess(Generic[C]):
    """Returns, when called, an object that is made once in each process: a forked child makes its own. It is closed
    when the process exits. Two threads that call it first may both call `make`; one of the results is dropped
    unused."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._made: dict[int, C] = {}
        atexit.register(self._close)

    def __call__(self) -> C:
        process = os.getpid()
        if process not in self._made:
            self._made.setdefault(process, self._make())
        return self._made[process]

    def _close(self) -> None:
        made = self._made.get(os.getpid())
        if made is not None:
            made.close()


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """In a child: end the process if the block takes longer. Its parent may be gone, and a library may hold the GIL."""
    signal.alarm(math.ceil(seconds))
    try:
        yield
    finally:
        signal.alarm(0)
