"""Reads of evaluations, by their business names."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Q, Sum
from django.db.models.functions import Now

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from evaluations.models import Job, Result, Score, Shard  # noqa: F401


class RunQuerySet(WorkspaceOwnedQuerySet):
    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def started_by(self, workspace: "Workspace", idempotency_key: str) -> "Run | None":
        """The run that a request with this key has started, if any."""
        return self.filter(workspace=workspace, idempotency_key=idempotency_key).first()

    def without_unfinished_jobs(self) -> Self:
        jobs = self.model._meta.get_field("jobs").related_model._default_manager
        return self.exclude(Exists(jobs.unfinished().filter(run=OuterRef("pk"))))

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

    def without_open_shards(self) -> Self:
        """Jobs that no work is left for."""
        shards = self.model._meta.get_field("shards").related_model._default_manager
        return self.exclude(Exists(shards.open().filter(job=OuterRef("pk"))))


class ShardQuerySet(models.QuerySet["Shard"]):
    def open(self) -> Self:
        return self.filter(state="open")

    def free(self) -> Self:
        """Open shards that no worker holds: never claimed, given back, or their worker is gone."""
        return self.open().filter(Q(lease_until=None) | Q(lease_until__lt=Now()))

    def lost(self, before: datetime) -> Self:
        """Free shards that no queue row may be left for: their worker is gone, or they were last queued `before`."""
        return self.free().filter(Q(lease_until__isnull=False) | Q(queued_at__lt=before))

    def held_by(self, shard_id: int, token: Any) -> Self:
        """The one shard, if the lease `token` still holds it."""
        return self.open().filter(pk=shard_id, lease_token=token)


class ResultQuerySet(WorkspaceOwnedQuerySet):
    def pending(self) -> Self:
        return self.filter(status="pending")

    def with_score(self) -> Self:
        """Adds the relation `score`: under the run's own normaliser. It is joined only where it is used."""
        return self.annotate(
            score=FilteredRelation(
                "scores",
                condition=Q(
                    scores__normalizer=F("run__normalizer"),
                    scores__normalizer_version=F("run__normalizer_version"),
                ),
            )
        )

    def failure_counts(self) -> "models.QuerySet[Any, tuple[str, str, int]]":
        """Rows of (model name, reason code, how many failed with it), the most frequent first."""
        failed = self.filter(status="failed").order_by()
        counts = failed.values("job__model_name", "reason").annotate(count=Count("pk"))
        return counts.order_by("-count").values_list("job__model_name", "reason", "count")

    def before_and_after(self, result: "Result") -> tuple["Result | None", "Result | None"]:
        """The neighbours of `result` among its job's results, in the order of the dataset's samples."""
        siblings = self.filter(job=result.job_id)
        before = siblings.filter(sample__lt=result.sample_id).order_by("-sample").first()
        return before, siblings.filter(sample__gt=result.sample_id).order_by("sample").first()

    def for_calls(self) -> Self:
        """With the sample's audio and language, least often taken up first."""
        return self.select_related("sample__audio", "sample__dataset").order_by("attempts", "pk")

    def unscored(self, normalizer: str, version: int) -> Self:
        """Completed results with a known reference and no score of its current revision under the normaliser."""
        scores = self.model._meta.get_field("scores").related_model._default_manager
        current = scores.under(normalizer, version).filter(
            result=OuterRef("pk"), reference_revision=OuterRef("sample__reference_revision")
        )
        return self.filter(~Exists(current), status="completed", sample__reference__isnull=False)

    def for_scoring(self) -> Self:
        """With what a score is made from, and nothing else."""
        return self.select_related("sample").only(
            "job", "hypothesis", "sample__reference", "sample__reference_revision"
        )


class ScoreQuerySet(models.QuerySet["Score"]):
    def under(self, normalizer: str, version: int) -> Self:
        return self.filter(normalizer=normalizer, normalizer_version=version)
