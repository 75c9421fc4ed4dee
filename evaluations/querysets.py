"""Reads of evaluations, by their business names."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.db import models
from django.db.models import Count, Exists, F, FilteredRelation, Max, Min, OuterRef, Q, Subquery, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left, Now

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.models import Workspace
    from evaluations.models import Batch, Job, Result, Run, Score, Shard, Upload  # noqa: F401


def _rows(queryset: models.QuerySet[Any], relation: str) -> Any:
    """The QuerySet of the rows that refer back by `relation`: models cannot be imported here, they import this."""
    related = queryset.model._meta.get_field(relation).related_model
    return apps.get_model(related._meta.label).objects.all()


class RunQuerySet(WorkspaceOwnedQuerySet):
    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def started_by(self, workspace: "Workspace", idempotency_key: str) -> "Run | None":
        """The run that a request with this key has started, if any."""
        return self.filter(workspace=workspace, idempotency_key=idempotency_key).first()

    def finished(self) -> Self:
        return self.exclude(status__in=["pending", "running"])

    def without_unfinished_jobs(self) -> Self:
        return self.exclude(Exists(_rows(self, "jobs").unfinished().filter(run=OuterRef("pk"))))

    def with_unreleased_files(self) -> Self:
        """Runs with files at providers that nobody has marked for deletion."""
        return self.filter(Exists(_rows(self, "uploads").alive().filter(run=OuterRef("pk"), delete_due_at=None)))

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
        return self.exclude(Exists(_rows(self, "shards").open().filter(job=OuterRef("pk"))))


class ShardQuerySet(models.QuerySet["Shard"]):
    def open(self) -> Self:
        return self.filter(state="open")

    def free(self) -> Self:
        """Open shards that no worker holds: never claimed, given back, or their worker is gone."""
        return self.open().filter(Q(lease_until=None) | Q(lease_until__lt=Now()))

    def held(self) -> Self:
        """Open shards that a worker holds now."""
        return self.open().filter(lease_until__gte=Now())

    def lost(self, before: datetime) -> Self:
        """Free shards that no queue row may be left for: their worker is gone, or they were last queued `before`."""
        return self.free().filter(Q(lease_until__isnull=False) | Q(queued_at__lt=before))

    def without_pending_results(self) -> Self:
        return self.exclude(Exists(_rows(self, "results").pending().filter(shard=OuterRef("pk"))))

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

    def for_list(self) -> Self:
        """With what a line of a list shows: adds `wer` (of the sample) and `hypothesis_start` (120 characters)."""
        rows = self.with_score().annotate(wer=F("score__wer"), hypothesis_start=Left("hypothesis", 120))
        return rows.select_related("sample", "job").defer("hypothesis", "error", "sample__reference", "sample__text")

    def before_and_after(self, result: "Result") -> tuple["Result | None", "Result | None"]:
        """The neighbours of `result` among its job's results, in the order of the dataset's samples."""
        siblings = self.filter(job=result.job_id)
        before = siblings.filter(sample__lt=result.sample_id).order_by("-sample").first()
        return before, siblings.filter(sample__gt=result.sample_id).order_by("sample").first()

    def with_details(self) -> Self:
        """With sample and job; adds the counts of the score (None without one) and `wer` (of the sample)."""
        counts = ("wer", "hits", "substitutions", "deletions", "insertions", "reference_words")
        rows = self.with_score().with_earlier_cost().annotate(**{name: F(f"score__{name}") for name in counts})
        return rows.select_related("sample__dataset", "job")

    def with_earlier_cost(self) -> Self:
        """Adds `earlier_cost_usd`: of answers that failed before the result was tried again; None: there were none."""
        attempts = _rows(self, "failed_attempts").filter(result=OuterRef("pk")).order_by().values("result")
        return self.annotate(earlier_cost_usd=Subquery(attempts.annotate(sum=Sum("cost_usd")).values("sum")))

    def containing(self, text: str) -> Self:
        """Results whose sample's key or reference, or whose hypothesis, contains `text` in any case of letters."""
        keys = Q(sample__key__icontains=text) | Q(sample__reference__icontains=text)
        return self.filter(keys | Q(hypothesis__icontains=text))

    def tagged(self, name: str, value: str) -> Self:
        """Results whose sample has the tag `name` with `value`."""
        # Not a lookup by name: the name is a person's, and may hold anything.
        tag = Cast(KeyTextTransform(name, "sample__tags"), models.TextField())
        return self.alias(tag=tag).filter(tag=value)

    def for_calls(self) -> Self:
        """With the sample's audio and language; first what was taken up least often, then what failed least often."""
        return self.select_related("sample__audio", "sample__dataset").order_by("attempts", "failures", "pk")

    def unscored(self, normalizer: str, version: int) -> Self:
        """Completed results with a known reference and no score of its current revision under the normaliser."""
        current = (
            _rows(self, "scores")
            .under(normalizer, version)
            .filter(result=OuterRef("pk"), reference_revision=OuterRef("sample__reference_revision"))
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

    def word_counts(self) -> "models.QuerySet[Any, tuple[int, str, int, int]]":
        """Rows of (run id, model name, word errors, reference words), summed over speech that has been scored under
        each run's own normaliser. Errors / words is the corpus WER."""
        own = {"normalizer": F("job__run__normalizer"), "normalizer_version": F("job__run__normalizer_version")}
        sums = self.filter(reference_empty=False, **own).values("job__run", "job__model_name")
        errors = Sum(F("substitutions") + F("deletions") + F("insertions"))
        return sums.annotate(errors=errors, words=Sum("reference_words")).values_list(
            "job__run", "job__model_name", "errors", "words"
        )


class BatchQuerySet(models.QuerySet["Batch"]):
    def of_run(self, run: "Run") -> Self:
        """With their shards and jobs, in the order of the samples, then of the retries."""
        batches = self.filter(shard__job__run=run).select_related("shard__job__model")
        return batches.order_by("shard__job", "shard__index", "number")

    def live(self) -> Self:
        return self.exclude(state="ended")

    def unsettled(self) -> Self:
        """Live ones, and those that are still to be stopped at the provider."""
        return self.filter(~Q(state="ended") | Q(cancel_pending=True))

    def kept(self) -> Self:
        """Batches whose result file is in our storage."""
        return self.exclude(output="")

    def to_cancel(self) -> Self:
        """Batches that are still to be stopped at the provider."""
        return self.filter(cancel_pending=True)


class UploadQuerySet(models.QuerySet["Upload"]):
    def planned(self) -> Self:
        return self.filter(state="planned")

    def alive(self) -> Self:
        """Files that are, or may be, at the provider."""
        return self.exclude(state="gone")

    def free(self) -> Self:
        """Files that no worker is busy with: none has begun, or it is gone."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=Now()))

    def to_delete(self) -> Self:
        """Files that are not needed any more, whose deletion is due, and that nobody may still be uploading."""
        return self.alive().free().filter(delete_due_at__lte=Now())

    def refused(self) -> Self:
        """Files that the provider refuses to delete: they are there until they expire."""
        return self.filter(delete_attempts__gt=0, delete_due_at=F("expires_at"))

    def by_run(self) -> "models.QuerySet[Any, dict[str, Any]]":
        """One row for each run and provider: how many files, since when, until when, how many are hard to delete."""
        groups = self.order_by("run", "provider").values("run_id", run_status=F("run__status"), at=F("provider__name"))
        return groups.annotate(
            files=Count("pk"),
            oldest=Min("created_at"),
            expires=Max("expires_at"),
            deletion_failures=Count("pk", filter=Q(delete_attempts__gt=0)),
        )
