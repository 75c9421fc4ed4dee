"""Tasks that come back by themselves: every SWEEP_SECONDS one worker of the site sweeps.

A sweep arms the next one, as a queue row that is due later, before it does anything. Where that row is lost, a worker
that begins or a cluster's guard puts another one on the queue: what comes back depends on the timer's row alone, which
is made anew where it is missing, too.
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

SWEEP = "core.queue.periodic.sweep"  # its path on the queue, and its timer's name
LATE_SECONDS = 5.0  # that a sweep may be due before its queue row is taken for lost

_paths: list[str] = []


def periodic(path: str) -> None:
    """Have the function at dotted `path` called with each sweep, without arguments. For `AppConfig.ready`.

    It may be called twice, and at the same time. It takes seconds at most: what is more goes on the queue.
    """
    if path not in _paths:
        _paths.append(path)


def sweep() -> None:
    """Call what is registered, unless that was done within the last SWEEP_SECONDS. What fails keeps none of the others
    from being called."""
    if not _claim_timer():
        return
    for path in reversed(_paths):  # upper rooms first: at the end come the datasets, which may wait for storage
        try:
            import_string(path)()
        except Exception as error:
            logger.error("%s failed with %s at\n%s", path, type(error).__name__, place_of(error))


@transaction.atomic
def _claim_timer() -> bool:
    """True for one caller a period, which has put the next sweep on the queue: of several chains one goes on."""
    now = timezone.now()
    period = timedelta(seconds=settings.SWEEP_SECONDS)
    Timer.objects.get_or_create(name=SWEEP, defaults={"due_at": now})
    if not Timer.objects.filter(name=SWEEP, due_at__lte=now).update(due_at=now + period):
        return False
    enqueue(SWEEP, delay=settings.SWEEP_SECONDS)
    return True


def seconds_late() -> float | None:
    """How long the next sweep has been due; negative where it is not yet. None before the first one."""
    timer = Timer.objects.filter(pk=SWEEP).first()
    return (timezone.now() - timer.due_at).total_seconds() if timer else None


def put_back_due() -> None:
    """Put the sweep on the queue where it is due and has not come: its row is lost, or every worker is busy. One more
    row does no harm: of several only one sweeps."""
    try:
        late = seconds_late()
        if late is None or late > LATE_SECONDS:
            enqueue(SWEEP)
    except DatabaseError as error:
        logger.error("The timer could not be read: %s", type(error).__name__)
    finally:
        connection.close()  # whoever looks forks workers, or has nothing else to do with the database
