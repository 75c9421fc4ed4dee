"""The queue, delivered in this process: for tests that need no worker process."""

from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ


def deliver_all(limit=1000):
    """Do every task that is due, and those that these put on the queue, until none is due."""
    for _ in range(limit):
        row = OrmQ.objects.filter(lock__lte=timezone.now()).order_by("pk").first()
        if row is None:
            return
        task = row.task
        row.delete()
        import_string(task["func"])(*task["args"])
    raise AssertionError(f"the queue is not empty after {limit} tasks")
