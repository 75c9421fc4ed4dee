"""Reads of datasets, by their business names."""

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.models import Workspace
    from datasets.models import Dataset, Import, Sample  # noqa: F401


class DatasetQuerySet(WorkspaceOwnedQuerySet):
    pass


class AudioQuerySet(WorkspaceOwnedQuerySet):
    pass


class SampleQuerySet(models.QuerySet["Sample"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(dataset__workspace=workspace)

    def spoken_in(self, language: str) -> Self:
        """Samples in `language`: their own or, where they have none, their dataset's."""
        return self.filter(Q(language=language) | Q(language="", dataset__language=language))

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
