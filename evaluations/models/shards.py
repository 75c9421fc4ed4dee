"""Shards: the units of work that workers claim."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Exists, Max, OuterRef, Q
from django.db.models.functions import Now

from core.leases import FREE
from evaluations.models.relations import rows_of
from evaluations.models.runs import Job


class ShardQuerySet(models.QuerySet["Shard"]):
    def open(self) -> Self:
        return self.filter(state="open")

    def free(self) -> Self:
        """Open shards that no worker holds: never claimed, given back, or their worker is gone."""
        return self.open().filter(FREE)

    def latest_lease(self) -> datetime | None:
        """Return the latest end of an open shard's lease; None where there is none."""
        latest: datetime | None = self.open().aggregate(latest=Max("lease_until"))["latest"]
        return latest

    def held(self) -> Self:
        """Open shards that a worker holds now."""
        return self.open().filter(lease_until__gte=Now())

    def lost(self, before: datetime) -> Self:
        """Free shards whose queue row may be lost: their worker is gone, or they were last queued before `before`."""
        return self.free().filter(Q(lease_until__isnull=False) | Q(queued_at__lt=before))

    def without_pending_results(self) -> Self:
        return self.exclude(Exists(rows_of(self, "results").pending().filter(shard=OuterRef("pk"))))


class Shard(models.Model):
    """A slice of a job's results: the unit of work that a worker claims.

    A worker holds a shard by its lease. `attempts` counts claims in a row that ended no result.
    """

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        CANCELLED = "cancelled"

    class Kind(models.TextChoices):
        DIRECT = "direct", "One by one"
        BATCH = "batch", "Batch"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="shards")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DIRECT)
    index = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.OPEN)
    attempts = models.PositiveSmallIntegerField(default=0)
    queued_at = models.DateTimeField(null=True, help_text="When it was last put on the queue.")
    pending_at_claim = models.PositiveIntegerField(null=True, help_text="Results still pending at the last claim.")
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    objects = ShardQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "index"], name="shard_index_unique_in_job")]
        indexes = [
            models.Index(fields=["lease_until"], condition=Q(state="open"), name="open_shards_by_lease"),
        ]

    def __str__(self) -> str:
        return f"{self.job} #{self.index}"
