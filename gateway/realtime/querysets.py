"""Reads of voice pipelines and realtime sessions, by their business names."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.db import models
from django.utils import timezone

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.access import Access
    from accounts.models import Workspace
    from gateway.realtime.models import RealtimeTurn  # noqa: F401

SEEN_WITHIN = timedelta(seconds=90)  # sessions are renewed every half minute


class VoicePipelineQuerySet(WorkspaceOwnedQuerySet):
    def with_models(self) -> Self:
        return self.select_related("stt_model__provider", "chat_model__provider", "tts_model__provider")


class RealtimeSessionQuerySet(WorkspaceOwnedQuerySet):
    def under_way(self) -> Self:
        """Open, and held by a process that lives."""
        return self.filter(ended_at=None, seen_at__gte=timezone.now() - SEEN_WITHIN)

    def lost(self) -> Self:
        """Never ended, and renewed by nobody any more."""
        return self.filter(ended_at=None, seen_at__lt=timezone.now() - SEEN_WITHIN)

    def of_caller(self, access: "Access") -> Self:
        """Sessions of the same key, or without one of the same person."""
        return self.filter(workspace=access.workspace, api_key=access.api_key, user=access.user)


class RealtimeTurnQuerySet(models.QuerySet["RealtimeTurn"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(session__workspace=workspace)


class ClientSecretQuerySet(WorkspaceOwnedQuerySet):
    def valid(self, now: datetime) -> Self:
        return self.filter(expires_at__gt=now)
