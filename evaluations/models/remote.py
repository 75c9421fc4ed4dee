"""Batches and files at providers: a row is stored before the call that makes one, and stays until it is gone."""

from typing import Any, Self

from django.db import models
from django.db.models import Count, F, Max, Min, Q
from django.db.models.functions import Now

from core.leases import FREE
from evaluations.models.runs import Run


class BatchQuerySet(models.QuerySet["Batch"]):
    def of_run(self, run: "Run") -> Self:
        """The run's batches with shard, job and model, ordered by sample, then by retry."""
        batches = self.filter(shard__job__run=run).select_related("shard__job__model")
        return batches.order_by("shard__job", "shard__index", "number")

    def live(self) -> Self:
        return self.exclude(state="ended")

    def live_or_to_cancel(self) -> Self:
        """Batches that have not ended, or that are still to be cancelled at the provider."""
        return self.filter(~Q(state="ended") | Q(cancel_pending=True))

    def with_output(self) -> Self:
        """Batches whose result file is stored."""
        return self.exclude(output="")

    def to_cancel(self) -> Self:
        """Batches that are still to be cancelled at the provider."""
        return self.filter(cancel_pending=True)


class Batch(models.Model):
    """One batch job at a provider, for the results of a shard that were pending when it was created."""

    class State(models.TextChoices):
        PREPARING = "preparing", "Uploading audio"  # nothing submitted yet
        SUBMITTING = "submitting", "Submitting"  # it may exist at the provider: look before creating it
        SUBMITTED = "submitted", "Waiting for the provider"
        COLLECTING = "collecting", "Collecting results"  # its result file is ready, or stored already
        ENDED = "ended", "Ended"

    shard = models.ForeignKey("evaluations.Shard", on_delete=models.CASCADE, related_name="batches")
    number = models.PositiveSmallIntegerField(help_text="1, and one more for each retry of failed results.")
    state = models.CharField(max_length=20, choices=State.choices, default=State.PREPARING)
    display_name = models.CharField(max_length=60, unique=True, help_text="How it is found at the provider.")
    remote_name = models.CharField(max_length=200, blank=True, help_text="The provider's own name for it.")
    remote_state = models.CharField(max_length=60, blank=True, help_text="As the provider last said.")
    waiting_for = models.TextField(blank=True, help_text="Why it does not go on, such as a quota.")
    error = models.TextField(blank=True, help_text="What the provider said.")
    faults = models.PositiveIntegerField(default=0, help_text="Calls in a row that failed and may pass.")
    output = models.FileField(max_length=300, blank=True, help_text="The provider's result file as it came, gzip.")
    create_sent_at = models.DateTimeField(null=True, help_text="A call to create it may have been made, then.")
    problems = models.JSONField(default=dict, help_text="Lines of the result file that are no result's: {code: count}.")
    deadline_at = models.DateTimeField(null=True)
    submitted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_pending = models.BooleanField(default=False, help_text="It is to be stopped at the provider.")

    objects = BatchQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shard", "number"], name="batch_number_unique_in_shard")]

    def __str__(self) -> str:
        return self.display_name

    @property
    def output_path(self) -> str:
        """The result file's name in our storage, also before it is stored."""
        return f"batches/{self.shard.job.run_id}/{self.display_name}.jsonl.gz"


class UploadQuerySet(models.QuerySet["Upload"]):
    def planned(self) -> Self:
        return self.filter(state="planned")

    def alive(self) -> Self:
        """Files that are, or may be, at the provider."""
        return self.exclude(state="gone")

    def free(self) -> Self:
        """Files that no worker holds: never claimed, released, or the worker is gone."""
        return self.filter(FREE)

    def to_delete(self) -> Self:
        """Files whose deletion is due and that no worker may still be uploading."""
        return self.alive().free().filter(delete_due_at__lte=Now())

    def refused(self) -> Self:
        """Files that the provider refuses to delete: they stay until they expire."""
        return self.filter(delete_attempts__gt=0, delete_due_at=F("expires_at"))

    def by_run(self) -> "models.QuerySet[Any, dict[str, Any]]":
        """Group by run and provider: count of files, oldest, last expiry, and files whose deletion has failed."""
        groups = self.order_by("run", "provider").values("run_id", run_status=F("run__status"), at=F("provider__name"))
        rows: models.QuerySet[Any, Any] = groups.annotate(
            files=Count("pk"),
            oldest=Min("created_at"),
            expires=Max("expires_at"),
            deletion_failures=Count("pk", filter=Q(delete_attempts__gt=0)),
        )
        return rows


class Upload(models.Model):
    """A file at a provider, from before it is uploaded until it is known to be gone."""

    class Kind(models.TextChoices):
        AUDIO = "audio"
        INPUT = "input"  # the requests of a batch
        OUTPUT = "output"  # the provider's result file

    class State(models.TextChoices):
        PLANNED = "planned"  # the upload may have been started
        ACTIVE = "active"
        FAILED = "failed"  # the upload failed; the file may exist all the same, and is deleted like the others
        GONE = "gone"

    run = models.ForeignKey("evaluations.Run", on_delete=models.CASCADE, related_name="uploads")
    provider = models.ForeignKey(
        "providers.Provider",
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Without it the file cannot be deleted: the provider does so when it expires.",
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    sample = models.ForeignKey("datasets.Sample", on_delete=models.CASCADE, null=True, related_name="+")
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, null=True, related_name="uploads")
    generation = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=80, help_text="At the provider; ours, chosen before the call.")
    uri = models.CharField(max_length=300, blank=True)
    mime_type = models.CharField(max_length=40, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    reason = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, help_text="When the provider deletes it by itself.")
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    delete_due_at = models.DateTimeField(null=True, help_text="When deleting it is tried (again).")
    delete_attempts = models.PositiveSmallIntegerField(default=0)
    delete_error = models.TextField(blank=True)
    gone_at = models.DateTimeField(null=True)

    objects = UploadQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="upload_name_unique_at_provider"),
            models.UniqueConstraint(
                fields=["run", "provider", "sample", "generation"],
                condition=Q(kind="audio"),
                name="one_audio_upload_a_generation",
            ),
        ]
        indexes = [
            models.Index(fields=["delete_due_at"], condition=~Q(state="gone"), name="uploads_to_delete"),
        ]

    def __str__(self) -> str:
        return self.name
