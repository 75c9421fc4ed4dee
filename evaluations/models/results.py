"""Results, their failed attempts and their scores."""

import json
from typing import Any, Self

from django.db import models
from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Left

from accounts.models import Workspace, WorkspaceOwnedQuerySet
from datasets.models import Sample
from evaluations.models.relations import rows_of
from evaluations.models.runs import Job, Run
from evaluations.models.shards import Shard


class MemberText(models.Func):
    """SQL for the text of an object's member in a JSON column.

    Django's own transforms would take a name such as 1 or -1 for the index of a list.
    """

    output_field = models.TextField()

    def __init__(self, column: str, name: str) -> None:
        super().__init__(models.F(column), models.Value(name))
        self.name = name

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        column, _ = self.get_source_expressions()
        path = models.Value("$." + json.dumps(self.name))
        return self.copy_with(column, path).as_sql(
            compiler, connection, template="CAST(JSON_EXTRACT(%(expressions)s) AS TEXT)", **context
        )

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" ->> ", **context)

    def copy_with(self, *expressions: Any) -> "MemberText":
        copy = self.copy()
        copy.set_source_expressions(list(expressions))
        return copy


class ResultQuerySet(WorkspaceOwnedQuerySet):
    def pending(self) -> Self:
        return self.filter(status="pending")

    def with_score(self) -> Self:
        """Adds the relation `score`: the score under the run's own normaliser. It is joined only where it is used."""
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
        """Rows for a list: adds `wer` (of the sample) and `hypothesis_start` (120 characters); defers long texts."""
        rows = self.with_score().annotate(wer=F("score__wer"), hypothesis_start=Left("hypothesis", 120))
        return rows.select_related("sample", "job").defer("hypothesis", "error", "sample__reference", "sample__text")

    def previous_and_next(self, result: "Result") -> tuple["Result | None", "Result | None"]:
        """Return the neighbours of `result` among its job's results, ordered by sample."""
        siblings = self.filter(job=result.job_id)
        before = siblings.filter(sample__lt=result.sample_id).order_by("-sample").first()
        return before, siblings.filter(sample__gt=result.sample_id).order_by("sample").first()

    def with_details(self) -> Self:
        """With sample and job; adds the counts of the score (None without one) and `wer` (of the sample)."""
        counts = ("wer", "hits", "substitutions", "deletions", "insertions", "reference_words")
        rows = self.with_score().with_earlier_cost().annotate(**{name: F(f"score__{name}") for name in counts})
        return rows.select_related("sample__dataset", "job")

    def with_earlier_cost(self) -> Self:
        """Adds `earlier_cost_usd`: the cost of failed attempts before the last retry; None: there were none."""
        attempts = rows_of(self, "failed_attempts").filter(result=OuterRef("pk")).order_by().values("result")
        return self.annotate(earlier_cost_usd=Subquery(attempts.annotate(sum=Sum("cost_usd")).values("sum")))

    def containing(self, text: str) -> Self:
        """Results whose sample's key or reference, or whose hypothesis, contains `text` in any case of letters."""
        keys = Q(sample__key__icontains=text) | Q(sample__reference__icontains=text)
        return self.filter(keys | Q(hypothesis__icontains=text))

    def tagged(self, name: str, value: str) -> Self:
        """Results whose sample has the tag `name` with `value`."""
        return self.alias(tag=MemberText("sample__tags", name)).filter(tag=value)

    def for_calls(self) -> Self:
        """Rows for calls, with the sample's audio and language; fewest attempts, then fewest failures first."""
        return self.select_related("sample__audio", "sample__dataset").order_by("attempts", "failures", "pk")

    def unscored(self, normalizer: str, version: int) -> Self:
        """Completed results with a known reference and no score of its current revision under the normaliser."""
        current = (
            rows_of(self, "scores")
            .under(normalizer, version)
            .filter(result=OuterRef("pk"), reference_revision=OuterRef("sample__reference_revision"))
        )
        return self.filter(~Exists(current), status="completed", sample__reference__isnull=False)

    def for_scoring(self) -> Self:
        """Rows for scoring: only hypothesis, reference and revision are loaded."""
        return self.select_related("sample").only(
            "job", "hypothesis", "sample__reference", "sample__reference_revision"
        )


class Result(models.Model):
    """The answer of one model to one sample. The row is created when the run starts, and ends exactly once."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="results")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="results")
    shard = models.ForeignKey(Shard, on_delete=models.CASCADE, related_name="results")
    sample = models.ForeignKey(Sample, on_delete=models.PROTECT, related_name="results")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    reason = models.CharField(max_length=40, blank=True, help_text="Code of why it failed.")
    error = models.TextField(blank=True, help_text="What a person reads about why it failed.")
    hypothesis = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Times a worker took it up, committed before, and may have died of it."
    )
    calls = models.PositiveIntegerField(default=0, help_text="Calls with a known end; all but the first are retries.")
    failures = models.PositiveSmallIntegerField(
        default=0, help_text="Calls that failed and may pass, since it was started or retried."
    )
    audio_seconds = models.FloatField(null=True)
    latency = models.FloatField(null=True, help_text="seconds of the call that succeeded; retries are apart")
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, null=True, help_text="Empty: unknown.")
    finished_at = models.DateTimeField(null=True)

    objects = ResultQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["job", "sample"], name="one_result_a_job_and_sample"),
            models.CheckConstraint(condition=~Q(status="failed") | ~Q(reason=""), name="a_failed_result_has_a_reason"),
        ]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="results_of_workspace"),
            models.Index(fields=["run", "id"], name="results_of_run"),
            models.Index(fields=["job", "status"], name="results_of_job_by_status"),
            models.Index(fields=["shard", "id"], condition=Q(status="pending"), name="pending_of_shard"),
        ]

    def __str__(self) -> str:
        return f"result {self.pk}"

    @property
    def retries(self) -> int:
        """Calls after the first. Batches are not counted: their retry is a batch of its own."""
        return max(0, self.calls - 1)


class Attempt(models.Model):
    """A failed try at a result: reason, latency in seconds, and tokens and cost where known."""

    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="failed_attempts")
    number = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=40)
    error = models.TextField(blank=True)
    latency = models.FloatField(null=True, help_text="seconds")
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, null=True, help_text="Empty: nothing, or unknown.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["result", "number"], name="attempt_number_unique_for_result"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} ({self.number})"


class ScoreQuerySet(models.QuerySet["Score"]):
    def under(self, normalizer: str, version: int) -> Self:
        return self.filter(normalizer=normalizer, normalizer_version=version)

    def word_counts(self) -> "models.QuerySet[Any, tuple[int, str, int, int]]":
        """Rows of (run id, model name, word errors, reference words), summed over the scores of speech under each run's
        own normaliser. Errors / words is the corpus WER."""
        own = {"normalizer": F("job__run__normalizer"), "normalizer_version": F("job__run__normalizer_version")}
        sums = self.filter(reference_empty=False, **own).values("job__run", "job__model_name")
        errors = Sum(F("substitutions") + F("deletions") + F("insertions"))
        return sums.annotate(errors=errors, words=Sum("reference_words")).values_list(
            "job__run", "job__model_name", "errors", "words"
        )


class Score(models.Model):
    """The errors of a result under a named, versioned normaliser. Counts only: rates are made from sums of counts."""

    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="scores")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="scores")
    normalizer = models.CharField(max_length=40)
    normalizer_version = models.PositiveSmallIntegerField()
    reference_revision = models.PositiveIntegerField()
    reference_empty = models.BooleanField(help_text="Nothing is said in the audio; scored apart.")
    hits = models.PositiveIntegerField()
    substitutions = models.PositiveIntegerField()
    deletions = models.PositiveIntegerField()
    insertions = models.PositiveIntegerField()
    reference_words = models.PositiveIntegerField()
    character_errors = models.PositiveIntegerField()
    reference_characters = models.PositiveIntegerField()
    wer = models.FloatField(null=True, help_text="Of this sample alone; null where the reference is empty.")

    objects = ScoreQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["result", "normalizer", "normalizer_version"],
                name="one_score_a_normalizer_and_result",
            ),
        ]
        indexes = [
            models.Index(fields=["job", "normalizer", "normalizer_version", "wer"], name="scores_of_job"),
        ]

    def __str__(self) -> str:
        return f"{self.normalizer} v{self.normalizer_version}"
