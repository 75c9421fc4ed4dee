"""Reads of what goes through the gateway, by their business names."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.models import Workspace
    from gateway.models import AliasTarget  # noqa: F401

TOTALS = {
    "calls": Count("pk"),
    "successes": Count("pk", filter=Q(result="success")),
    "failed": Count("pk", filter=Q(result__in=["failed", "lost"])),
    "under_way": Count("pk", filter=Q(state="reserved")),
    "unknown": Count("pk", filter=Q(state="settled", cost_usd=None)),  # before the sum takes the column's name
    "cost_usd": Sum("cost_usd"),
    "audio_seconds": Sum("audio_seconds"),
    "characters": Sum("characters"),
    "input_tokens": Sum("input_tokens"),
    "output_tokens": Sum("output_tokens"),
    "latency_sum": Sum("latency", filter=Q(result="success")),
}
GROUPS: dict[str, dict[str, Any]] = {
    "day": {"day": TruncDate("created_at", tzinfo=UTC)},
    "model": {"name": F("served_by")},
    "key": {"key_id": F("api_key"), "caller": F("key_name")},
}


class UsageRecordQuerySet(WorkspaceOwnedQuerySet):
    def under_way(self) -> Self:
        return self.filter(state="reserved")

    def lost(self, now: datetime) -> Self:
        """Calls under way that nobody renews: their process died."""
        return self.under_way().filter(expires_at__lt=now)

    def in_month(self, month: date) -> Self:
        """Calls that began in the calendar month (UTC) of that day."""
        first = datetime(month.year, month.month, 1, tzinfo=UTC)
        following = (first + timedelta(days=31)).replace(day=1)
        return self.filter(created_at__gte=first, created_at__lt=following)

    def totals_by(self, *groups: str) -> "QuerySet[Any, dict[str, Any]]":
        """TOTALS of each of the GROUPS: `day` (UTC), `name` of the model that served (empty: none did), `key_id` and
        `caller` (its name). Sums of nothing are None."""
        columns = {name: column for group in groups for name, column in GROUPS[group].items()}
        return self.values(**columns).annotate(**TOTALS).order_by(*columns)


class ModelAliasQuerySet(WorkspaceOwnedQuerySet):
    def with_targets(self) -> Self:
        """With all that a call needs to know of its models, in their order."""
        return self.prefetch_related("targets__model__provider")


class AliasTargetQuerySet(models.QuerySet["AliasTarget"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(alias__workspace=workspace)
