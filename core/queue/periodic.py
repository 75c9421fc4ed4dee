"""Periodic tasks: every SWEEP_SECONDS one worker of the site runs all of them (a sweep).

A sweep first enqueues the next one, due later. If that queue row is lost, a starting worker or a cluster's guard
enqueues another; the timer's row, which is created if missing, decides which of several sweeps runs.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from core.models import Timer
from core.queue import enqueue
from core.tracebacks import place_of

logger = logging.getLogger(__name__)

SWEEP = "core.queue.periodic.sweep"  # dotted path of the task, and name of its timer
LATE_SECONDS = 5.0  # seconds after which an overdue sweep is enqueued again

_paths: list[str] = []


def periodic(path: str) -> None:
    """Register the function at dotted `path` to be called without arguments in each sweep. Call it in
    `AppConfig.ready`.

    The function may be called twice, also concurrently. It may take seconds at most; longer work is enqueued.
    """
    if path not in _paths:
        _paths.append(path)


def sweep() -> None:
    """Call the registered functions, unless that was done within the last SWEEP_SECONDS. Exceptions are logged."""
    if not _claim_timer():
        return
    for path in reversed(_paths):  # upper apps first: those of datasets, called last, may wait for storage
        try:
            import_string(path)()
        except Exception as error:
            logger.error("%s failed with %s at\n%s", path, type(error).__name__, place_of(error))


@transaction.atomic
def _claim_timer() -> bool:
    """Return True for one caller in each period, after enqueueing the next sweep; False for duplicates."""
    now = timezone.now()
    period = timedelta(seconds=settings.SWEEP_SECONDS)
    Timer.objects.get_or_create(name=SWEEP, defaults={"due_at": now})
    if not Timer.objects.filter(name=SWEEP, due_at__lte=now).update(due_at=now + period):
        return False
    enqueue(SWEEP, delay=settings.SWEEP_SECONDS)
    return True


def seconds_late() -> float | None:
    """Return how many seconds the next sweep is overdue; negative if it is not due yet, None before the first one."""
    timer = Timer.objects.filter(pk=SWEEP).first()
    return (timezone.now() - timer.due_at).total_seconds() if timer else None


def put_back_due() -> None:
    """Enqueue a sweep if it is overdue by LATE_SECONDS: its queue row is lost, or every worker is busy. Duplicates are
    harmless."""
    try:
        late = seconds_late()
        if late is None or late > LATE_SECONDS:
            enqueue(SWEEP)
    except DatabaseError as error:
        logger.error("The timer could not be read: %s", type(error).__name__)
    finally:
        connection.close()  # the caller forks workers, or has no other use for the connection
