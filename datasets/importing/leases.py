"""Who works on an import: one worker at a time, by a lease that it renews and that ends with it."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.leases import Lease, LeaseLost, claim
from core.queue import enqueue
from datasets.models import Import


class ImportLease(Lease[Import]):
    """A held import: its row as it was when it was claimed."""

    def __init__(self, parent: Import, token: UUID) -> None:
        super().__init__(Import.objects.unfinished().filter(pk=parent.pk), token)
        self.parent = parent

    def update(self, **changes: Any) -> bool:
        """True where the import was still held, and is changed. Raises LeaseLost where it was not, since nothing of
        what follows may happen then; so do `renew` and `release`."""
        if not super().update(**changes):
            raise LeaseLost
        return True

    def give_up(self) -> None:
        """Let go after a fault, as if the lease had ended: the sweep finds the import."""
        with suppress(LeaseLost):
            self.update(lease_until=timezone.now())

    def hand_on(self) -> None:
        """Let another worker, or this one later, go on with it. Raises LeaseLost."""
        with transaction.atomic():
            self.release()
            enqueue("datasets.tasks.run_import", self.parent.pk)


def claim_import(import_id: int) -> ImportLease | None:
    """Take an import that nobody holds; None where it is held or has ended.

    The attempt is counted, and committed, before anything is risked.
    """
    free = Import.objects.stale().filter(pk=import_id)
    token = claim(free, status=Import.Status.RUNNING, attempts=F("attempts") + 1)
    if token is None:
        return None
    return ImportLease(Import.objects.select_related("dataset__workspace").get(pk=import_id), token)
