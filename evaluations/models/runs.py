"""Runs of datasets over models, and their jobs."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Sum

from accounts.models import Workspace, WorkspaceOwnedQuerySet
from datasets.models import Dataset
from evaluations.choices import UNFINISHED, Status
from evaluations.models.relations import rows_of
from providers.models import SpeechModel


class RunQuerySet(WorkspaceOwnedQuerySet):
    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def started_by(self, workspace: "Workspace", idempotency_key: str) -> "Run | None":
        """Return the run that was started with this key, if any."""
        return self.filter(workspace=workspace, idempotency_key=idempotency_key).first()

    def finished(self) -> Self:
        return self.exclude(status__in=["pending", "running"])

    def without_unfinished_jobs(self) -> Self:
        return self.exclude(Exists(rows_of(self, "jobs").unfinished().filter(run=OuterRef("pk"))))

    def with_unreleased_files(self) -> Self:
        """Runs with files at providers that are not marked for deletion."""
        return self.filter(Exists(rows_of(self, "uploads").alive().filter(run=OuterRef("pk"), delete_due_at=None)))

    def with_counts(self) -> Self:
        """Adds `total_count`, `completed_count`, `failed_count` and `cancelled_count`: sums over the run's jobs."""
        return self.annotate(
            total_count=Sum("jobs__total"),
            completed_count=Sum("jobs__completed"),
            failed_count=Sum("jobs__failed"),
            cancelled_count=Sum("jobs__cancelled"),
        )


class Run(models.Model):
    """An evaluation of one dataset by one or more models, with options that are fixed when it starts."""

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


class JobQuerySet(models.QuerySet["Job"]):
    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def without_open_shards(self) -> Self:
        """Jobs all of whose shards are closed."""
        return self.exclude(Exists(rows_of(self, "shards").open().filter(job=OuterRef("pk"))))


class Job(models.Model):
    """One model in a run. Its counts are sums over its results, updated after each slice of work."""

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
