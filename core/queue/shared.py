"""Flags and locks between processes that do not stay locked if a process is killed."""

import fcntl
import mmap
import tempfile
import time

LOOK_SECONDS = 0.05


class SharedFlag:
    """An event, shared with the processes that are forked from the one that made it.

    Unlike `multiprocessing.Event` its `set` does not wait for the waiting processes to wake up, which takes for ever if
    one of them was killed, or if a signal handler calls it while its process holds the lock.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return bool(self._byte[0])

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; returns whether the flag is set."""
        ends_at = time.monotonic() + timeout
        while not self.is_set() and (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(LOOK_SECONDS, left))
        return self.is_set()


class ProcessLock:
    """A reentrant lock between processes. The kernel releases it when its holder dies, and children do not inherit it;
    a semaphore would stay locked if its holder was killed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the lock)
        self._depth = 0

    def acquire(self) -> bool:
        if not self._depth:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()
