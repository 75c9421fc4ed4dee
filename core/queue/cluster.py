"""django-q2's cluster, with parts of it replaced. `run_cluster` puts ours in their place; each is here for a reason:

`Queue`, `value`
    Locks that the kernel takes away from a process that dies. django-q2's are semaphores: a worker that is killed
    while it waits for a task keeps the queue's, and no other one gets a task ever again. And packets for a pipe: a
    worker that is killed while it takes a task leaves no half of it to the others.
`SharedFlag` (for `multiprocessing.Event`)
    Setting an Event waits for those that wait on it: the main process for ever, where SIGTERM had killed the guard.
`Guard` (for `Sentinel`)
    SIGTERM comes to the whole group from systemd, `timeout` and containers. Guard and workers leave it to the main
    process, so that work under way is ended in order; what does not end within STOP_SECONDS is killed. Where one of
    their parents dies they die with it: nobody would be left to end them.
`Cluster`
    The signal handler only takes note, and the main process stays until the guard has ended. django-q2's joins the
    guard in the handler, while the interpreter does so at its exit.
`put_back` (for `scheduler`)
    The guard calls it twice a minute. We have no schedules of django-q2's (these are rows of its own, and up to 30 s
    late); the timer of the sweep is looked at instead.
`_Delayed` in `core.queue` (for the broker `ORM`)
    Rows that become deliverable later.

Where django-q2 changes what is replaced, `tests/ops/test_queue_patches.py` fails and says what to look at.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from django.db import connections
from django_q import cluster, queues
from django_q.signals import post_spawn

from core.parent_death import end_with_parent
from core.queue import ask_to_stop, enqueue, is_stopping
from core.queue.packets import packet_channel
from core.queue.periodic import SWEEP, put_back_due
from core.queue.shared import ProcessLock, SharedFlag

logger = logging.getLogger(__name__)

STOP_SECONDS = 7  # for what is under way to end; killing it loses nothing
GUARD_SECONDS = 9  # for the guard to see to that


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


class Guard(cluster.Sentinel):
    """Starts workers, pusher and monitor, starts again those that die, and ends them."""

    def start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # for the processes that it starts, too
        end_with_parent(self.parent_pid, signal.SIGKILL)
        os.register_at_fork(before=self._note_who_forks, after_in_child=self._end_with_guard)
        super().start()

    def _note_who_forks(self) -> None:
        self._forker = os.getpid()

    def _end_with_guard(self) -> None:
        """In a child; what a worker forks is the worker's."""
        if self._forker == self.pid:
            end_with_parent(self.pid, signal.SIGKILL)

    def reincarnate(self, process: Any) -> None:
        """Start another one in the place of `process`, which has died or is over its time."""
        if process in self.pool and process.timer.value == 0:
            process.kill()  # SIGTERM, which it is about to get, is ignored
        super().reincarnate(process)

    def stop(self) -> None:
        deadline = threading.Timer(STOP_SECONDS, self._end_now)
        deadline.daemon = True
        deadline.start()
        super().stop()
        deadline.cancel()

    def _end_now(self) -> None:
        logger.warning("What workers had under way did not end within %s s; others take it up.", STOP_SECONDS)
        for process in (*self.pool, self.pusher, self.monitor):
            process.kill()
        os._exit(1)


class Cluster(cluster.Cluster):
    """The main process, which starts the guard and tells it to stop."""

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Exits with 1 where the guard has died."""
        signal.signal(signal.SIGALRM, self._kill_guard)
        try:
            self.start()
        except RuntimeError:  # the guard has ended
            if not is_stopping():
                raise
        if is_stopping():  # told so before there was anything to stop
            self.stop_event.set()
        self.sentinel.join()
        signal.alarm(0)
        if not is_stopping():
            logger.error("The guard of the workers died with code %s.", self.sentinel.exitcode)
            sys.exit(1)

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        if not is_stopping():
            signal.alarm(GUARD_SECONDS)
        ask_to_stop()
        if self.stop_event is not None:
            self.stop_event.set()

    def _kill_guard(self, signum: int, frame: FrameType | None) -> None:
        if self.sentinel is not None:
            self.sentinel.kill()


def sweep_anew(**_: object) -> None:
    """In a worker that begins: the one before may have died with the sweep, which the queue delivers again only after
    Q_RETRY seconds."""
    enqueue(SWEEP)


def put_back(broker: object = None) -> None:
    """In the guard, twice a minute: the sweep's row may be lost."""
    put_back_due()


def run_cluster() -> None:
    """Work on the queue until SIGTERM or SIGINT."""
    post_spawn.connect(sweep_anew)
    connections.close_all()  # the cluster forks
    cluster.Queue, cluster.Value, cluster.Event = Queue, value, SharedFlag
    cluster.Sentinel, cluster.scheduler = Guard, put_back
    Cluster().run()
