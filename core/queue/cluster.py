"""Replacements for parts of django-q2's cluster, which `run_cluster` installs. Each has a reason:

`Queue`, `value`
    The kernel releases our locks when a process dies. django-q2's are semaphores: a worker that is killed while it
    waits for a task keeps the queue's lock, and no other worker ever gets a task. Packets replace the pipe: a worker
    that is killed while it reads a task leaves no half of it in the channel.
`SharedFlag` (for `multiprocessing.Event`)
    `Event.set` waits until the waiting processes have woken up: for ever if SIGTERM has killed the guard.
`Guard` (for `Sentinel`)
    systemd, `timeout` and containers send SIGTERM to the whole process group. Guard and workers ignore it, so that the
    main process stops them in order; those that do not end within STOP_SECONDS are killed. They die with their parent,
    as nobody else would end them.
`Cluster`
    The signal handler only sets a flag, and the main process waits until the guard has ended. django-q2's handler joins
    the guard itself, while the interpreter does so at exit.
`put_back` (for `scheduler`)
    The guard calls it twice a minute. We do not use django-q2's schedules (they are up to 30 s late); the timer of the
    sweep is checked instead.
`_Delayed` in `core.queue` (for the broker `ORM`)
    Tasks that are due later.

`tests/ops/test_queue_patches.py` fails if django-q2 changes what is replaced, and says where to look.
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

STOP_SECONDS = 7  # seconds for work under way to end before it is killed, by which nothing is lost
GUARD_SECONDS = 9  # seconds for the guard to end before it is killed


class Queue(queues.Queue):
    """The channel between the cluster's processes. One of the waiting workers always holds the read lock; a process
    that is killed amid a read or a write loses at most its own message."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for end in (self._reader, self._writer):  # type: ignore[has-type]
            end.close()
        self._reader, self._writer = packet_channel()
        self._reset()  # it caches methods of the two ends
        self._rlock, self._wlock = ProcessLock(), ProcessLock()
        self.size.count = value("i", 0)


def value(typecode: str, start: float) -> Any:
    """Return a number in shared memory."""
    return multiprocessing.Value(typecode, start, lock=ProcessLock())  # type: ignore[call-overload]


class Guard(cluster.Sentinel):
    """Starts the workers, the pusher and the monitor, restarts those that die, and stops them."""

    def start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited by the processes that it starts
        end_with_parent(self.parent_pid, signal.SIGKILL)
        os.register_at_fork(before=self._note_forking_process, after_in_child=self._end_with_guard)
        super().start()

    def _note_forking_process(self) -> None:
        self._forker = os.getpid()

    def _end_with_guard(self) -> None:
        """Run in each forked child; ignores children of workers."""
        if self._forker == self.pid:
            end_with_parent(self.pid, signal.SIGKILL)

    def reincarnate(self, process: Any) -> None:
        """Replace `process`, which has died or exceeded its time limit."""
        if process in self.pool and process.timer.value == 0:
            process.kill()  # `super` sends SIGTERM, which it ignores
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
        """Run until SIGTERM or SIGINT. Exits with 1 if the guard dies."""
        signal.signal(signal.SIGALRM, self._kill_guard)
        try:
            self.start()
        except RuntimeError:  # the guard has ended
            if not is_stopping():
                raise
        if is_stopping():  # the signal came before `stop_event` existed
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
    """Enqueue a sweep when a worker starts: its predecessor may have died during one, which the queue delivers again
    only after Q_RETRY seconds."""
    enqueue(SWEEP)


def put_back(broker: object = None) -> None:
    """Enqueue a sweep if it is overdue. The guard calls this twice a minute."""
    put_back_due()


def run_cluster() -> None:
    """Work on the queue until SIGTERM or SIGINT."""
    post_spawn.connect(sweep_anew)
    connections.close_all()  # the cluster forks
    cluster.Queue, cluster.Value, cluster.Event = Queue, value, SharedFlag
    cluster.Sentinel, cluster.scheduler = Guard, put_back
    Cluster().run()
