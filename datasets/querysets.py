"""Reads of datasets, by their business names."""

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce, Now

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.models import Workspace
    from datasets.models import Dataset, Import, Sample  # noqa: F401


class DatasetQuerySet(WorkspaceOwnedQuerySet):
    def with_totals(self) -> Self:
        """Adds `sample_count`, `audio_seconds` and `reference_count` (samples whose reference is known)."""
        return self.annotate(
            sample_count=Count("samples"),
            audio_seconds=Coalesce(Sum("samples__audio__duration"), 0.0),
            reference_count=Count("samples", filter=Q(samples__reference__isnull=False)),
        )


class AudioQuerySet(WorkspaceOwnedQuerySet):
    pass


class SampleQuerySet(models.QuerySet["Sample"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(dataset__workspace=workspace)

    def with_language(self) -> Self:
        """Adds `spoken_language`: the sample's own language, or else its dataset's."""
        return self.annotate(
            spoken_language=models.Case(models.When(language="", then=F("dataset__language")), default=F("language"))
        )

    def with_audio_facts(self) -> Self:
        """Each with its audio, for lists: without the waveform, which is large and shown for one sample only."""
        return self.select_related("audio").defer("audio__peaks")


class ImportQuerySet(models.QuerySet["Import"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(dataset__workspace=workspace)

    def unfinished(self) -> Self:
        return self.filter(status__in=["pending", "running"])

    def ended(self) -> Self:
        return self.exclude(status__in=["pending", "running"])

    def stale(self) -> Self:
        """Unfinished imports that no worker holds: never begun, or their worker is gone."""
        return self.unfinished().filter(Q(lease_until=None) | Q(lease_until__lt=Now()))
