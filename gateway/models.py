"""Database models of the gateway: usage records, budgets, rate limits and model aliases."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import ApiKey, Workspace, WorkspaceOwnedQuerySet
from providers.models import SpeechModel

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
        """Reservations that have expired: their process died."""
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
        rows: QuerySet[Any, dict[str, Any]] = self.values(**columns).annotate(**TOTALS).order_by(*columns)
        return rows


class UsageRecord(models.Model):
    """One call: written before its provider is asked, settled exactly once when it is over, however it ends.

    It says who called which model when and what that came to; never what was said, sent or answered.
    """

    class Endpoint(models.TextChoices):
        TRANSCRIPTION = "transcription", "Transcription"
        TRANSLATION = "translation", "Translation"
        SPEECH = "speech", "Speech"
        CHAT = "chat", "Chat"

    class State(models.TextChoices):
        RESERVED = "reserved", "Under way"
        SETTLED = "settled", "Over"

    class Result(models.TextChoices):
        SUCCESS = "success", "Success"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        DISCONNECTED = "disconnected", "Disconnected"
        LOST = "lost", "Lost"

    # Those below serve as their indexes: each one more would be written with every call.
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    key_name = models.CharField(max_length=200, blank=True, help_text="The key's name at the time.")
    model = models.ForeignKey(SpeechModel, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    model_name = models.CharField(max_length=200, help_text="What was asked for: a model's public name, or an alias.")
    served_by = models.CharField(max_length=200, blank=True, help_text="Public name of the model that served the call.")
    endpoint = models.CharField(max_length=20, choices=Endpoint.choices)
    request_id = models.CharField(max_length=128, help_text="Of the call: x-request-id.")
    session_id = models.BigIntegerField(null=True, blank=True, help_text="Of the realtime session it was part of.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RESERVED)
    result = models.CharField(max_length=20, choices=Result.choices, blank=True)
    status = models.PositiveSmallIntegerField("HTTP status", null=True, blank=True)
    reason = models.CharField(max_length=40, blank=True, help_text="Code of why it failed.")
    audio_seconds = models.FloatField(null=True, blank=True)
    characters = models.PositiveIntegerField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    reserved_usd = models.DecimalField(
        max_digits=14, decimal_places=8, default=Decimal(0), help_text="What budgets hold for it while it is under way."
    )
    cost_usd = models.DecimalField(
        "cost", max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars; empty: unknown."
    )
    latency = models.FloatField(null=True, blank=True, help_text="seconds from the request to the answer's end")
    first_byte = models.FloatField(
        null=True, blank=True, help_text="seconds from the request to the answer's first byte"
    )
    body_sha256 = models.CharField("body SHA-256", max_length=64, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="Renewed while the call is under way; afterwards the process is gone.")
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "usage record"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "request_id"], name="usage_request_id_unique_in_workspace"),
            models.CheckConstraint(
                condition=Q(state="reserved", result="", settled_at=None)
                | Q(state="settled", settled_at__isnull=False) & ~Q(result=""),
                name="usage_has_a_result_once_settled",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="usage_of_workspace"),
            models.Index(fields=["workspace", "created_at"], name="usage_of_workspace_by_time"),
            models.Index(fields=["api_key", "created_at"], name="usage_of_key_by_time"),
            models.Index(fields=["session_id"], condition=Q(session_id__isnull=False), name="usage_of_session"),
            models.Index(fields=["expires_at"], condition=Q(state="reserved"), name="usage_under_way"),
        ]

    def __str__(self) -> str:
        return self.request_id


class MonthlySpend(models.Model):
    """What a workspace, or one key of it, has spent in a calendar month (UTC): the sum of its usage records, kept
    up to date in the transactions that write them."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty: the workspace's."
    )
    month = models.DateField(help_text="Its first day.")
    spent_usd = models.DecimalField(max_digits=16, decimal_places=8, default=Decimal(0))
    reserved_usd = models.DecimalField(max_digits=16, decimal_places=8, default=Decimal(0))
    calls = models.PositiveIntegerField(default=0, help_text="Settled ones.")
    unknown = models.PositiveIntegerField(default=0, help_text="Settled ones whose cost is unknown: they count as 0.")

    objects = WorkspaceOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "month"], condition=Q(api_key=None), name="one_spend_a_workspace_and_month"
            ),
            models.UniqueConstraint(
                fields=["api_key", "month"], condition=Q(api_key__isnull=False), name="one_spend_a_key_and_month"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: ${self.spent_usd}"


class Budget(models.Model):
    """The most that a workspace, or one of its keys, may spend in a calendar month (UTC)."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="budgets")
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="budgets",
        verbose_name="API key",
        help_text="Empty: the whole workspace.",
    )
    monthly_usd = models.DecimalField(
        "US dollars a month", max_digits=12, decimal_places=2, validators=[MinValueValidator(0)]
    )

    objects = WorkspaceOwnedQuerySet.as_manager()

    class Meta:
        ordering = ["api_key__name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace"],
                condition=Q(api_key=None),
                name="one_budget_a_workspace",
                violation_error_message="The workspace has a budget already: change that one.",
            ),
            models.UniqueConstraint(
                fields=["api_key"],
                condition=Q(api_key__isnull=False),
                name="one_budget_a_key",
                violation_error_message="This key has a budget already: change that one.",
            ),
            models.CheckConstraint(condition=Q(monthly_usd__gte=0), name="budget_not_negative"),
        ]

    def __str__(self) -> str:
        return f"${self.monthly_usd} a month"


class RateBucket(models.Model):
    """How many calls a key may still make just now: filled up evenly, by the key's limit a minute, up to a minute's
    worth. Processes take what they need for about a second at once."""

    api_key = models.OneToOneField(ApiKey, on_delete=models.CASCADE, primary_key=True, related_name="+")
    calls = models.FloatField(help_text="Left when it was last filled.")
    filled_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.calls:.0f} calls"

    def fill(self, limit: int, now: datetime) -> None:
        """Add what has come in since, by a limit a minute. A clock that is behind another machine's adds nothing."""
        since = max(0.0, (now - self.filled_at).total_seconds())
        self.calls = min(float(limit), self.calls + since * limit / 60)
        self.filled_at = max(now, self.filled_at)


class ModelAliasQuerySet(WorkspaceOwnedQuerySet):
    def with_targets(self) -> Self:
        """Prefetch the targets in order, with their models and providers."""
        return self.prefetch_related("targets__model__provider")


class ModelAlias(models.Model):
    """A model name that stands for several models: when one fails, the next is tried."""

    class Strategy(models.TextChoices):
        ORDERED = "ordered", "In order"
        WEIGHTED = "weighted", "By weight"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="model_aliases")
    name = models.CharField(
        max_length=100,
        validators=[RegexValidator(r"^[\w.:-]+\Z", "Use letters, digits and . _ : - only.")],
        help_text="What clients ask for, such as whisper-1; without a slash, unlike models' own names.",
    )
    strategy = models.CharField(
        max_length=10,
        choices=Strategy.choices,
        default=Strategy.ORDERED,
        help_text="In order: the first that answers. By weight: which is tried first is drawn, the others follow.",
    )

    objects = ModelAliasQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "model alias"
        verbose_name_plural = "model aliases"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="alias_name_unique_in_workspace"),
        ]

    def __str__(self) -> str:
        return self.name


class AliasTargetQuerySet(models.QuerySet["AliasTarget"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(alias__workspace=workspace)


class AliasTarget(models.Model):
    alias = models.ForeignKey(ModelAlias, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(SpeechModel, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField(default=0, help_text="The lowest is tried first.")
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="How often it is drawn first, beside the others' weights.",
    )

    objects = AliasTargetQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["alias", "model"], name="model_once_in_an_alias"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="alias_target_has_a_weight"),
        ]

    def __str__(self) -> str:
        return self.model.public_name
