"""Who works on an import: one worker at a time, by a lease that it renews and that ends with it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.queue import enqueue
from datasets.models import Import


class LeaseLost(Exception):  # noqa: N818
    """Somebody else works on the import now; whatever was not committed is theirs to do."""


@dataclass(frozen=True)
class ImportLease:
    """A held import: its row as it was when it was claimed."""

    parent: Import
    token: UUID

    def update(self, **changes: Any) -> None:
        """Change the import's row. Raises LeaseLost, and then changes nothing."""
        held = Import.objects.unfinished().filter(pk=self.parent.pk, lease_token=self.token)
        if not held.update(**changes):
            raise LeaseLost

    def renew(self, **changes: Any) -> None:
        self.update(lease_until=_lease_end(), **changes)

    def give_up(self) -> None:
        """Let go after a fault, as if the lease had ended: the sweep finds the import."""
        with suppress(LeaseLost):
            self.update(lease_until=timezone.now())

    def hand_on(self) -> None:
        """Let another worker, or this one later, go on with it."""
        with transaction.atomic():
            self.update(lease_until=None)
            enqueue("datasets.tasks.run_import", self.parent.pk)


def claim_import(import_id: int) -> ImportLease | None:
    """Take an import that nobody holds; None where it is held or has ended.

    The attempt is counted, and committed, before anything is risked.
    """
    token = uuid4()
    free = Import.objects.stale().filter(pk=import_id)
    taken = free.update(
        status=Import.Status.RUNNING, lease_token=token, lease_until=_lease_end(), attempts=F("attempts") + 1
    )
    if not taken:
        return None
    return ImportLease(Import.objects.select_related("dataset__workspace").get(pk=import_id), token)


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.SHARD_LEASE_SECONDS)
