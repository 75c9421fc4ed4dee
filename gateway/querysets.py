"""Reads of what goes through the gateway, by their business names."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Self

from django.db import models

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.models import Workspace
    from gateway.models import AliasTarget  # noqa: F401


class UsageRecordQuerySet(WorkspaceOwnedQuerySet):
    def under_way(self) -> Self:
        return self.filter(state="reserved")

    def lost(self, now: datetime) -> Self:
        """Calls under way that nobody renews: their process died."""
        return self.under_way().filter(expires_at__lt=now)


class MonthlySpendQuerySet(WorkspaceOwnedQuerySet):
    def in_month(self, month: date) -> Self:
        return self.filter(month=month)


class BudgetQuerySet(WorkspaceOwnedQuerySet):
    pass


class ModelAliasQuerySet(WorkspaceOwnedQuerySet):
    def with_targets(self) -> Self:
        """With all that a call needs to know of its models, in their order."""
        return self.prefetch_related("targets__model__provider")


class AliasTargetQuerySet(models.QuerySet["AliasTarget"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(alias__workspace=workspace)
