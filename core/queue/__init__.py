"""The task queue: the only module that enqueues tasks. `cluster` lists what is replaced in django-q2, and why.

Tasks are named by dotted paths, so that this module imports no app and any app can enqueue for any other. The queue is
a table of the same database: a rolled back transaction enqueues nothing.
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

_stopping = SharedFlag()  # shared with forked processes


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
    """Count the tasks that were due at `due_by` (None: now) and that no worker has taken."""
    return _due(due_by).count()


def longest_wait() -> float:
    """Return how many seconds ago the oldest waiting task was due; 0 if none is."""
    oldest = _due(None).aggregate(oldest=Min("lock"))["oldest"]
    return (timezone.now() - oldest).total_seconds() if oldest else 0.0


def _due(by: datetime | None) -> "QuerySet[OrmQ]":
    rows: QuerySet[OrmQ] = OrmQ.objects.using(Conf.ORM).filter(key=Conf.CLUSTER_NAME, lock__lte=by or timezone.now())
    return rows


def ask_to_stop() -> None:
    """Tell the workers that were forked from this process to end soon."""
    _stopping.set()


def is_stopping() -> bool:
    """Whether this worker is to end soon, and should leave what it can to others."""
    return _stopping.is_set()
