"""Reads of evaluations, by their business names."""

from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q, Sum
from django.db.models.functions import Now

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from evaluations.models import Job, Score, Shard  # noqa: F401


class RunQuerySet(WorkspaceOwnedQuerySet):
    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def with_counts(self) -> Self:
        """Adds `total_count`, `completed_count`, `failed_count` and `cancelled_count`: sums over the run's jobs."""
        return self.annotate(
            total_count=Sum("jobs__total"),
            completed_count=Sum("jobs__completed"),
            failed_count=Sum("jobs__failed"),
            cancelled_count=Sum("jobs__cancelled"),
        )


class JobQuerySet(models.QuerySet["Job"]):
    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])


class ShardQuerySet(models.QuerySet["Shard"]):
    def open(self) -> Self:
        return self.filter(state="open")

    def free(self) -> Self:
        """Open shards that no worker holds: never claimed, given back, or their worker is gone."""
        return self.open().filter(Q(lease_until=None) | Q(lease_until__lt=Now()))

    def held_by(self, shard_id: int, token: Any) -> Self:
        """The one shard, if the lease `token` still holds it."""
        return self.open().filter(pk=shard_id, lease_token=token)


class ResultQuerySet(WorkspaceOwnedQuerySet):
    def pending(self) -> Self:
        return self.filter(status="pending")

    def unscored(self, normalizer: str, version: int) -> Self:
        """Completed results with a known reference that have no score under the normaliser at its version,
        or one against an older revision of the reference."""
        current = Q(
            scores__normalizer=normalizer,
            scores__normalizer_version=version,
            scores__reference_revision=models.F("sample__reference_revision"),
        )
        return self.filter(status="completed", sample__reference__isnull=False).exclude(
            pk__in=self.model._default_manager.filter(current).values("pk")
        )


class ScoreQuerySet(models.QuerySet["Score"]):
    def under(self, normalizer: str, version: int) -> Self:
        return self.filter(normalizer=normalizer, normalizer_version=version)
