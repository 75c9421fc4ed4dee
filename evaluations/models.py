"""Runs of datasets over models: jobs, shards, results and scores."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Workspace
from datasets.models import Dataset, Sample
from evaluations.ledger import Batch, Upload
from evaluations.querysets import JobQuerySet, ResultQuerySet, RunQuerySet, ScoreQuerySet, ShardQuerySet
from providers.models import SpeechModel

__all__ = ["Attempt", "Batch", "Job", "Result", "Run", "Score", "Shard", "Status", "Timer", "Upload"]


class Status(models.TextChoices):
    """State of a run or a job."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures", "Completed with failures"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


UNFINISHED = [Status.PENDING, Status.RUNNING]


class Run(models.Model):
    """One dataset over one or more models, with settings that are frozen when it starts."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="runs")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="runs")
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=30, choices=Status.choices, default=Status.PENDING)
    options = models.JSONField(default=dict, help_text="Frozen at the start: mode, prompt, language.")
    normalizer = models.CharField(max_length=40)
    normalizer_version = models.PositiveSmallIntegerField()
    idempotency_key = models.CharField(max_length=200, null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "idempotency_key"], name="run_idempotency_key_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED


class Job(models.Model):
    """One model in a run. Its counts are sums over its results, taken again after each slice of work."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="jobs")
    model = models.ForeignKey(SpeechModel, on_delete=models.SET_NULL, null=True, related_name="jobs")
    model_name = models.CharField(max_length=200, help_text="Public name when the run started.")
    prompt = models.TextField(blank=True, help_text="What the model is told beside the audio.")
    status = models.CharField(max_length=30, choices=Status.choices, default=Status.PENDING)
    error = models.TextField(blank=True)
    total = models.PositiveIntegerField()
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "model_name"], name="one_job_a_model_and_run"),
        ]

    def __str__(self) -> str:
        return f"{self.run}: {self.model_name}"


class Shard(models.Model):
    """The unit of work that a worker claims: a slice of a job's results.

    A worker holds a shard by its lease. `attempts` counts claims in a row that got nothing done.
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


class Result(models.Model):
    """One sample by one model. The row exists from the run's start and ends exactly once."""

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
        """Calls that were made again. Those of batches are not in it: a retry is a batch of its own."""
        return max(0, self.calls - 1)


class Attempt(models.Model):
    """One try at a result that did not succeed: why, how long it took, and what it cost where that is known."""

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


class Score(models.Model):
    """A result under a named, versioned normaliser. Counts only: rates are made from sums of counts."""

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


class Timer(models.Model):
    """When a task that repeats itself is due next: one claim a period, however often it is delivered."""

    name = models.CharField(max_length=40, primary_key=True)
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
