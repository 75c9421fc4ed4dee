"""The one place that puts work on the queue. What is changed in django-q2, and why, is in `cluster`.

A task is named by its dotted path, so this module imports no app and any app may enqueue for any other.
The queue is a table of the same database: enqueueing inside a transaction is undone with it.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, QuerySet
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from core.queue.shared import SharedFlag

_stopping = SharedFlag()  # of this process and those that are forked from it


class _Delayed(ORM):
    """django-q2's table broker, with rows that become deliverable only after a delay."""

    def __init__(self, delay: float) -> None:
        super().__init__(list_key=Conf.CLUSTER_NAME)
        self.delay = delay

    def enqueue(self, task: str) -> int:
        due = timezone.now() + timedelta(seconds=self.delay)
        return int(OrmQ.objects.using(Conf.ORM).create(key=self.list_key, payload=task, lock=due).pk)


def enqueue(path: str, *args: Any, delay: float = 0) -> None:
    """Call the function at dotted `path` with `args` in a worker, `delay` seconds from now at the earliest.

    Delivery is at least once: the function must bear being called twice, and at the same time.
    """
    async_task(path, *args, broker=_Delayed(delay))


def waiting(due_by: datetime | None = None) -> int:
    """How many tasks that were due by that moment (None: now) are taken by no worker."""
    return _due(due_by).count()


def longest_wait() -> float:
    """Seconds that the oldest of the tasks that are due has waited; 0 where none is."""
    oldest = _due(None).aggregate(oldest=Min("lock"))["oldest"]
    return (timezone.now() - oldest).total_seconds() if oldest else 0.0


def _due(by: datetime | None) -> "QuerySet[OrmQ]":
    rows: QuerySet[OrmQ] = OrmQ.objects.using(Conf.ORM).filter(key=Conf.CLUSTER_NAME, lock__lte=by or timezone.now())
    return rows


def ask_to_stop() -> None:
    """Let the workers that were forked from this process know that they are to end soon."""
    _stopping.set()


def is_stopping() -> bool:
    """Whether this worker is to end soon: what can be left to another one should be."""
    return _stopping.is_set()
