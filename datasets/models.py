"""Datasets, their samples and the audio behind them."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Max, Q

from accounts.models import Workspace, WorkspaceOwnedQuerySet
from core.leases import FREE


class Task(models.TextChoices):
    STT = "stt", "Speech to text"
    TTS = "tts", "Text to speech"


class DatasetQuerySet(WorkspaceOwnedQuerySet):
    pass


class Dataset(models.Model):
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=200)
    task = models.CharField(max_length=3, choices=Task.choices, default=Task.STT)
    language = models.CharField(
        max_length=35, default="en", help_text="BCP-47, such as en, pt-BR or hi. A sample may have its own."
    )
    description = models.TextField(blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="dataset_name_unique_in_workspace"),
        ]

    def __str__(self) -> str:
        return self.name


class AudioQuerySet(WorkspaceOwnedQuerySet):
    pass


class Audio(models.Model):
    """A piece of audio, stored once per workspace under its SHA-256, with what was measured when it was stored."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    sha256 = models.CharField(max_length=64)
    file = models.FileField(max_length=300, help_text="Named by content: nothing of the uploader's in it.")
    size = models.BigIntegerField(help_text="bytes")
    container = models.CharField(max_length=20, help_text="wav, mp3, flac, mp4, aac, ogg, webm")
    codec = models.CharField(max_length=40)
    mime_type = models.CharField(max_length=40)
    duration = models.FloatField(help_text="seconds, by decoded samples")
    sample_rate = models.PositiveIntegerField(help_text="Hz")
    channels = models.PositiveSmallIntegerField()
    peaks = models.BinaryField(help_text="Waveform: one unsigned byte a bin, loudest sample of the bin / 255.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AudioQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audio"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "sha256"], name="audio_stored_once_a_workspace"),
        ]

    def __str__(self) -> str:
        return f"{self.codec} {self.duration:.1f} s"


class SampleQuerySet(models.QuerySet["Sample"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(dataset__workspace=workspace)

    def spoken_in(self, language: str) -> Self:
        """Samples in `language`, which is their own or else their dataset's."""
        return self.filter(Q(language=language) | Q(language="", dataset__language=language))

    def with_audio_facts(self) -> Self:
        """Samples with their audio, for lists; the waveform, which is large, is not loaded."""
        return self.select_related("audio").defer("audio__peaks")


class Sample(models.Model):
    """One item of a dataset: audio with its reference text, or a text to be spoken."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="samples")
    key = models.CharField(max_length=300, help_text="Unique in the dataset; the file's name unless given.")
    audio = models.ForeignKey(Audio, on_delete=models.PROTECT, null=True, blank=True, related_name="samples")
    text = models.TextField(blank=True, help_text="What is to be spoken (text to speech).")
    reference = models.TextField(
        null=True,
        blank=True,
        help_text="What is said. Unknown (null) is not scored; empty means that nothing is said.",
    )
    reference_revision = models.PositiveIntegerField(default=1, editable=False)
    language = models.CharField(max_length=35, blank=True, help_text="Where it is not the dataset's.")
    tags = models.JSONField(default=dict, blank=True, help_text="Such as speaker or noise.")
    is_duplicate = models.BooleanField(default=False, help_text="The same audio came before in this dataset.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SampleQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "key"], name="sample_key_unique_in_dataset"),
            models.CheckConstraint(condition=Q(audio__isnull=False) | ~Q(text=""), name="sample_has_audio_or_text"),
        ]

    def __str__(self) -> str:
        return self.key


class ReferenceRevision(models.Model):
    """A reference before an edit; the current one is a field of the sample."""

    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    reference = models.TextField(null=True)
    replaced_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    replaced_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["sample", "number"], name="revision_number_unique_for_sample"),
        ]

    def __str__(self) -> str:
        return f"{self.sample} r{self.number}"


class ImportQuerySet(models.QuerySet["Import"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(dataset__workspace=workspace)

    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def ended(self) -> Self:
        return self.exclude(status__in=["pending", "running"])

    def latest_lease(self) -> datetime | None:
        """Return the latest end of an unfinished import's lease; None where there is none."""
        latest: datetime | None = self.unfinished().aggregate(latest=Max("lease_until"))["latest"]
        return latest

    def stale(self) -> Self:
        """Unfinished imports that no worker holds: never claimed, released, or the worker is gone."""
        return self.unfinished().filter(FREE)


class Import(models.Model):
    """An import of many samples into a dataset: all or none of them, unless `skip_bad` is set."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="imports")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    source = models.FileField(max_length=300, upload_to="imports/", blank=True)
    source_name = models.CharField(max_length=300, help_text="As the uploader named it; only ever shown.")
    skip_bad = models.BooleanField(default=False, help_text="Leave bad lines out instead of refusing everything.")
    total = models.PositiveIntegerField(null=True, help_text="Lines found; unknown until they are read.")
    done = models.PositiveIntegerField(default=0, help_text="Lines looked at.")
    bad = models.PositiveIntegerField(default=0, help_text="Of these, lines with a problem.")
    error = models.TextField(blank=True, help_text="Why the whole import failed.")
    attempts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Claims in a row that got nothing done."
    )
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = ImportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source_name} into {self.dataset}"


class ImportLine(models.Model):
    """A line of an import: staged until the import becomes samples, or bad, with its `problem`."""

    parent = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField(help_text="In the manifest, or of the file in a folder or zip; from 1.")
    name = models.CharField(max_length=300)
    key = models.CharField(max_length=300, blank=True)
    audio = models.ForeignKey(Audio, on_delete=models.PROTECT, null=True, related_name="+")
    text = models.TextField(blank=True)
    reference = models.TextField(null=True)
    language = models.CharField(max_length=35, blank=True)
    tags = models.JSONField(default=dict)
    problem = models.TextField(blank=True, help_text="Why this line cannot be imported; empty where it can.")

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["parent", "number"], name="import_line_number_unique"),
        ]
        indexes = [models.Index(fields=["parent", "key"], name="import_lines_by_key")]

    def __str__(self) -> str:
        return f"line {self.number}"
