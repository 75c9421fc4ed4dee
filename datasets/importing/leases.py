"""Claims imports. One worker at a time holds an import, as long as it renews its lease."""

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
    """A worker's hold on an import; `parent` is its row as it was when it was claimed."""

    def __init__(self, parent: Import, token: UUID) -> None:
        super().__init__(Import.objects.unfinished().filter(pk=parent.pk), token)
        self.parent = parent

    def update(self, **changes: Any) -> bool:
        """Change the held import. Raises LeaseLost where it is not held any more, and so do `renew` and `release`."""
        if not super().update(**changes):
            raise LeaseLost
        return True

    def expire(self) -> None:
        """End the lease now after an error, so that the sweep queues the import again."""
        with suppress(LeaseLost):
            self.update(lease_until=timezone.now())

    def requeue(self) -> None:
        """Release the import and queue it, for any worker to go on. Raises LeaseLost."""
        with transaction.atomic():
            self.release()
            enqueue("datasets.tasks.run_import", self.parent.pk)


def claim_import(import_id: int) -> ImportLease | None:
    """Lease an import that no worker holds; None where it is held or has ended.

    The attempt is counted and committed before any work, so that the count survives a worker that dies.
    """
    free = Import.objects.stale().filter(pk=import_id)
    token = claim(free, status=Import.Status.RUNNING, attempts=F("attempts") + 1)
    if token is None:
        return None
    return ImportLease(Import.objects.select_related("dataset__workspace").get(pk=import_id), token)
