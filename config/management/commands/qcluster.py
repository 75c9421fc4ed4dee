"""The workers: django-q2's cluster, which goes on at once with what one that died left behind, and leaves to the next
one what it cannot end soon."""

import fcntl
import multiprocessing
import tempfile
from types import FrameType
from typing import Any

from django.db import connections
from django_q import cluster, queues
from django_q.management.commands import qcluster
from django_q.signals import post_spawn

from core.packets import packet_channel
from core.queue import ask_to_stop, enqueue


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


class Queue(queues.Queue):
    """Between the cluster's processes. Of those that wait for a task one holds the lock all the time; a process that is
    killed in the very middle of a read or a write takes at most its own message with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for end in (self._reader, self._writer):  # type: ignore[has-type]
            end.close()
        self._reader, self._writer = packet_channel()
        self._reset()  # it keeps their methods
        self._rlock, self._wlock = ProcessLock(), ProcessLock()
        self.size.count = value("i", 0)


def value(typecode: str, start: float) -> Any:
    """A number that processes share."""
    return multiprocessing.Value(typecode, start, lock=ProcessLock())  # type: ignore[call-overload]


def look_around(**_: object) -> None:
    """In a worker that begins: the one before may have died with the sweep, which the queue delivers again only after
    Q_RETRY seconds."""
    enqueue("evaluations.tasks.sweep")


class Cluster(cluster.Cluster):
    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        ask_to_stop()
        super().sig_handler(signum, frame)


class Command(qcluster.Command):
    def add_arguments(self, parser: Any) -> None:
        """None: the queue has one name, from the settings."""

    def handle(self, *args: Any, **options: Any) -> None:
        post_spawn.connect(look_around)
        connections.close_all()  # the cluster forks
        cluster.Queue, cluster.Value = Queue, value
        Cluster().start()
