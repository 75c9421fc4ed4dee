"""The one place that puts work on the queue.

A task is named by its dotted path, so this module imports no app and any app may enqueue for any other.
The queue is a table of the same database: enqueueing inside a transaction is undone with it.
"""

import mmap
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

_stopping = mmap.mmap(-1, 1)  # shared with the processes that are forked from this one


class _Delayed(ORM):
    """django-q2's table broker, with rows that become deliverable only after a delay."""

    def __init__(self, delay: float) -> None:
        super().__init__(list_key=Conf.CLUSTER_NAME)
        self.delay = delay

    def enqueue(self, task: str) -> int:
        due = timezone.now() + timedelta(seconds=self.delay)
        return OrmQ.objects.using(Conf.ORM).create(key=self.list_key, payload=task, lock=due).pk


def enqueue(path: str, *args: Any, delay: float = 0) -> None:
    """Call the function at dotted `path` with `args` in a worker, `delay` seconds from now at the earliest.

    Delivery is at least once: the function must bear being called twice, and at the same time.
    """
    async_task(path, *args, broker=_Delayed(delay))


def waiting() -> int:
    """How many tasks are due and taken by no worker."""
    return OrmQ.objects.using(Conf.ORM).filter(key=Conf.CLUSTER_NAME, lock__lte=timezone.now()).count()


def ask_to_stop() -> None:
    """Let the workers that were forked from this process know that they are to end soon."""
    _stopping[0] = 1


def is_stopping() -> bool:
    """Whether this worker is to end soon: what can be left to another one should be."""
    return bool(_stopping[0])
