"""What `manage.py doctor` looks at. Each function returns what is fine, or raises Fault with what to do."""

import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Min
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from config.stall import stall_seconds
from evaluations.models import Timer
from evaluations.pipeline.sweep import SWEEP
from providers.checkup import check_up
from providers.models import Provider
from providers.registry import EMBEDDED_KINDS


class Fault(Exception):  # noqa: N818
    """Something that keeps Earshot from working; the text says what to do."""


def check_settings() -> str:
    errors = [f"{message.msg} {message.hint or ''}".strip() for message in run_checks() if message.level >= ERROR]
    if errors:
        raise Fault("; ".join(errors))
    return "DEBUG is on: not for a server that others reach" if settings.DEBUG else "they fit together"


def check_database() -> str:
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise Fault(f"The database does not answer ({error}). Is DATABASE_URL right?") from error
    if waiting:
        raise Fault(f"{len(waiting)} migrations are missing. Run: manage.py setup")
    return f"{connection.vendor}, migrated"


def check_queue() -> str:
    now = timezone.now()
    due = OrmQ.objects.filter(key=Conf.CLUSTER_NAME, lock__lte=now)
    oldest = due.aggregate(oldest=Min("lock"))["oldest"]
    age = (now - oldest).total_seconds() if oldest else 0.0
    timer = Timer.objects.filter(pk=SWEEP).first()
    late = (now - timer.due_at).total_seconds() if timer else None
    if late is None or late > stall_seconds():
        raise Fault(
            f"{due.count()} tasks wait, and no worker is running. Start one: manage.py watchdog (or make serve)"
        )
    if age > stall_seconds():
        return f"a worker is running; it is behind, the oldest of {due.count()} tasks waits for {age:.0f} s"
    return f"a worker is running, the oldest task waits for {age:.0f} s"


def check_storage() -> str:
    content = uuid.uuid4().bytes
    try:
        name = default_storage.save(f"doctor/{uuid.uuid4()}", ContentFile(content))
        with default_storage.open(name) as file:
            same = file.read() == content
        default_storage.delete(name)
    except Exception as error:  # whatever kind of storage it is
        raise Fault(f"A file cannot be written, read and deleted ({error}). See MEDIA_ROOT or AWS_...") from error
    if not same:
        raise Fault("A file was read back with other content than it was written with.")
    return "writes, reads and deletes"


def check_providers() -> str:
    """Only what runs on this machine: the others are tried in the admin, as each call may cost something."""
    embedded = Provider.objects.filter(kind__in=EMBEDDED_KINDS, is_active=True).first()
    if embedded is None:
        return "no embedded engine is switched on"
    checkup = check_up(embedded)
    if not checkup.ok:
        faults = [checkup.fault, *(f"{check.model}: {check.fault}" for check in checkup.checks if not check.ok)]
        raise Fault(" ".join(filter(None, faults)) + f" Or switch the provider {embedded.name!r} off.")
    return "the embedded engines speak and hear"


CHECKS: dict[str, Callable[[], str]] = {
    "settings": check_settings,
    "database": check_database,
    "queue": check_queue,
    "storage": check_storage,
    "providers": check_providers,
}
