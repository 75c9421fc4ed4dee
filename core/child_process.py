"""Programs of ours in processes of their own, for what may crash, hang, or keep the interpreter for itself.

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
# Children read what strangers have sent: the site's secrets are not in their environment.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # there are as many children as cores
GRACE_SECONDS = 5.0  # after which a child ends itself, where nobody has ended it

T = TypeVar("T")


def python(module: str) -> list[str]:
    """The command line of a module of ours, by this Python."""
    return [sys.executable, "-m", module]


class ChildProcess:
    """A running child, asked by one thread at a time; only `kill` may be called from another."""

    def __init__(self, command: Sequence[str], folder: Path = ROOT) -> None:
        """Raises OSError where no process can be started."""
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
        """End the process, whatever it does, and let go of it."""
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
    """Called, gives this process's own of what `make` makes: one that a fork has left here belongs to the parent. It is
    closed when the process exits. `make` may be called twice where two threads come first; what it makes is idle."""

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
    """In a child: its process ends where the block takes longer. Whoever asked may no longer be there to end it, and a
    library may be holding the interpreter."""
    signal.alarm(math.ceil(seconds))
    try:
        yield
    finally:
        signal.alarm(0)
