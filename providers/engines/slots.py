"""How many engines of a host may work at once, over all its processes: files that are locked while one does."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core import temporary
from providers.adapters.base import ProviderError
from providers.reasons import Reason

CHECK_SECONDS = 0.02


class Slots:
    """`count` slots, shared with every process of this user whose temporary folder is the same.

    A slot whose process dies is free again: the lock goes with it.
    """

    def __init__(self, count: int, folder: Path | None = None) -> None:
        self.count = count
        self.folder = folder
        # Threads of one process take turns without asking the file system.
        self._here = threading.Semaphore(count)

    @contextmanager
    def one(self, go_on: Callable[[], None]) -> Iterator[None]:
        """Wait for a slot and hold it. `go_on` is called repeatedly while waiting; what it raises ends the wait."""
        while not self._here.acquire(timeout=CHECK_SECONDS):
            go_on()
        try:
            lock = self._lock_one(go_on)
            try:
                yield
            finally:
                # Closing alone would leave the lock to a process that was forked in the meantime.
                fcntl.flock(lock, fcntl.LOCK_UN)
                os.close(lock)
        finally:
            self._here.release()

    def _lock_one(self, go_on: Callable[[], None]) -> int:
        try:
            folder = self.folder or temporary.folder("earshot-engines")
        except PermissionError as error:
            raise ProviderError(Reason.INTERNAL_ERROR, str(error)) from error
        folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            for index in range(self.count):
                lock = _try_lock(folder / str(index))
                if lock is not None:
                    return lock
            go_on()
            time.sleep(CHECK_SECONDS)


def _try_lock(path: Path) -> int | None:
    """Lock the file; returns it open, or None if another process has locked it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
