"""What the processes of a cluster share: nothing here stays locked for ever where one of them is killed."""

import fcntl
import mmap
import tempfile
import time

LOOK_SECONDS = 0.05


class SharedFlag:
    """Once set, it is for all processes that are forked from the one that made it.

    In the place of `multiprocessing.Event`, whose `set` waits until those that wait for it have woken up: for ever
    where one of them was killed, or where it is called in a signal handler and holds the lock already.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._byte[0] = 1

    def is_set(self) -> bool:
        return bool(self._byte[0])

    def wait(self, timeout: float) -> bool:
        """Whether it is set, after `timeout` seconds at the latest."""
        ends_at = time.monotonic() + timeout
        while not self.is_set() and (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(LOOK_SECONDS, left))
        return self.is_set()


class ProcessLock:
    """Held by one process at a time, which may take it again and again. The kernel takes it away from one that dies,
    and a child does not inherit it: as a semaphore it would stay locked for ever where its holder is killed."""

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
