"""The checks of `manage.py doctor`. Each returns a text for people, or raises Fault with what to do."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from core.queue import longest_wait, waiting
from core.queue.periodic import seconds_late
from core.queue.worker_health import stall_seconds
from evaluations.models import Batch
from evaluations.pipeline.cleanup import Leftover, leftovers, live_batches
from providers.connection_test import check_up
from providers.models import Provider
from providers.registry import embedded_kinds


class Fault(Exception):  # noqa: N818
    """A problem that keeps Earshot from working; the text says what to do."""


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
    late, age = seconds_late(), longest_wait()
    if late is None or late > stall_seconds():
        raise Fault(f"{waiting()} tasks wait, and no worker is running. Start one: manage.py watchdog (or make serve)")
    if age > stall_seconds():
        return f"a worker is running; it is behind, the oldest of {waiting()} tasks waits for {age:.0f} s"
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
    """Try the embedded engines only: calls to other providers may cost money, and are tried in the admin."""
    embedded = Provider.objects.filter(kind__in=embedded_kinds(), is_active=True).first()
    if embedded is None:
        return "no embedded engine is switched on"
    checkup = check_up(embedded)
    if not checkup.ok:
        faults = [checkup.fault, *(f"{check.model}: {check.fault}" for check in checkup.checks if not check.ok)]
        raise Fault(" ".join(filter(None, faults)) + f" Or switch the provider {embedded.name!r} off.")
    return "the embedded engines speak and hear"


def check_remote() -> str:
    """List the files and batches at providers, a line for each run."""
    files, batches = leftovers(), live_batches()
    if not (files or batches):
        return "nothing is left at a provider"
    lines = [f"{sum(left.files for left in files)} files and {len(batches)} batches are at providers"]
    return "\n".join(lines + [_file_line(left) for left in files] + [_batch_line(batch) for batch in batches])


def _file_line(left: Leftover) -> str:
    line = f"run {left.run_id} ({left.run_status}) at {left.at or 'a provider that was deleted here'}: "
    line += f"{left.files} files, the oldest for {_span(timezone.now() - left.oldest)}"
    if left.deletion_failures:
        line += f"; deleting {left.deletion_failures} of them failed and is tried again"
    if left.expires:
        line += f"; they expire by {left.expires:%Y-%m-%d %H:%M} UTC"
    return line


def _batch_line(batch: Batch) -> str:
    run = batch.shard.job.run
    state = "to be stopped" if batch.cancel_pending else batch.get_state_display().lower()
    line = f"run {run.pk} ({run.status}): batch {batch.remote_name or batch.display_name}, {state}"
    if batch.submitted_at:
        line += f", submitted {_span(timezone.now() - batch.submitted_at)} ago"
    return f"{line}; {batch.waiting_for}" if batch.waiting_for else line


def _span(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


CHECKS: dict[str, Callable[[], str]] = {
    "settings": check_settings,
    "database": check_database,
    "queue": check_queue,
    "storage": check_storage,
    "providers": check_providers,
    "remote": check_remote,
}
