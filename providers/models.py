"""Providers of speech models, the models they offer and what these cost."""

from datetime import date, datetime
from typing import ClassVar, Self

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from accounts.models import Workspace, WorkspaceOwnedQuerySet
from providers.crypto import decrypt, encrypt


class ProviderQuerySet(WorkspaceOwnedQuerySet):
    def with_models(self) -> Self:
        """With their models, and what holds calls back."""
        return self.select_related("throttle").prefetch_related("models")


class Provider(models.Model):
    """A service, or the embedded engines, that speech models run at."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="providers")
    name = models.SlugField(max_length=60, help_text="First part of its models' names: name/model.")
    kind = models.CharField(max_length=40)
    base_url = models.CharField(
        max_length=200, blank=True, help_text="Empty: the kind's own, or the one from the environment."
    )
    credential_encrypted = models.TextField(blank=True, editable=False)
    max_concurrency = models.PositiveIntegerField(
        default=8, validators=[MinValueValidator(1)], help_text="Calls at once, by all workers together."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="By all workers together. Empty: no limit."
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="provider_name_unique_in_workspace"),
            models.CheckConstraint(condition=Q(max_concurrency__gte=1), name="provider_takes_a_call_at_least"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_credential(self) -> bool:
        return bool(self.credential_encrypted)

    @property
    def model_names(self) -> list[str]:
        """Public names of its models."""
        return [f"{self.name}/{model.name}" for model in self.models.all()]

    @property
    def credential(self) -> str:
        """The API key, decrypted; empty where none is stored. Never shown, never logged."""
        return decrypt(self.credential_encrypted) if self.credential_encrypted else ""

    @credential.setter
    def credential(self, value: str) -> None:
        self.credential_encrypted = encrypt(value) if value else ""


class ProviderThrottle(models.Model):
    """When calls to a provider may begin, and why none may now: one row for all workers and machines.

    Two things hold calls back. A back-off: the provider asked for it, or takes no more calls. An open circuit: calls
    failed again and again; when `open_until` is over it is half open: one call is tried, the others wait.
    """

    provider = models.OneToOneField(Provider, on_delete=models.CASCADE, primary_key=True, related_name="throttle")
    next_start_at = models.DateTimeField(null=True, help_text="No call begins before, for the limit a minute.")
    backoff_until = models.DateTimeField(null=True)
    backoffs = models.PositiveIntegerField(default=0, help_text="In a row.")
    failures = models.PositiveIntegerField(default=0, help_text="Calls in a row that failed.")
    open_until = models.DateTimeField(null=True)
    openings = models.PositiveIntegerField(default=0, help_text="Of the circuit, in a row; 0: it is closed.")
    half_open_by = models.UUIDField(null=True, help_text="The holder of slots that makes the trial call.")
    reason = models.CharField(max_length=40, blank=True, help_text="Of the latest back-off or opening.")
    message = models.TextField(blank=True, help_text="What the provider said then.")

    def __str__(self) -> str:
        return f"throttle of {self.provider_id}"

    def closed_until(self, now: datetime) -> datetime | None:
        """When calls may begin again; None where they may now."""
        return max((end for end in (self.backoff_until, self.open_until) if end and end > now), default=None)


class SlotLease(models.Model):
    """Slots of a provider, a call at a time each, that one worker or web process holds.

    The sum over a provider's live leases never exceeds its `max_concurrency`: leases change under the lock of its
    throttle's row. A holder that dies loses them at `until`.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="slot_leases")
    holder = models.UUIDField()
    slots = models.PositiveIntegerField()
    wanted = models.PositiveIntegerField(help_text="Calls that it would have under way, had it the slots.")
    since = models.DateTimeField(help_text="When it got its first slot, or lost its last one.")
    until = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "holder"], name="one_slot_lease_a_holder_and_provider"),
        ]

    def __str__(self) -> str:
        return f"{self.slots} slots of {self.provider_id}"


class SpeechModelQuerySet(models.QuerySet["SpeechModel"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(provider__workspace=workspace)

    def usable(self) -> Self:
        """Models that may be used for new work: neither they nor their provider are switched off."""
        return self.filter(is_active=True, provider__is_active=True).select_related("provider")

    def with_prices(self) -> Self:
        """With all prices of each model, past and future ones too, for `SpeechModel.prices_on`."""
        return self.prefetch_related("prices")

    def named(self, public_name: str) -> Self:
        """The model of a public name, provider/name; none where it is not of that form."""
        provider, _, name = public_name.partition("/")
        return self.filter(provider__name=provider, name=name)


class SpeechModel(models.Model):
    """A model of a provider. What it can do is data that staff may edit, not code."""

    TASK_FIELDS: ClassVar[dict[str, str]] = {
        "stt": "speech_to_text",
        "tts": "text_to_speech",
        "chat": "chat",
        "translation": "translation",
    }

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=100, help_text="Its public name is provider/name.")
    upstream_name = models.CharField(max_length=200, help_text="What the provider calls it.")
    speech_to_text = models.BooleanField(default=False)
    text_to_speech = models.BooleanField(default=False)
    chat = models.BooleanField(default=False, help_text="Answers texts with texts, as a voice conversation needs.")
    translation = models.BooleanField("translation to English", default=False, help_text="Of speech, into text.")
    word_times = models.BooleanField(default=False, help_text="Says when each word is spoken.")
    segment_times = models.BooleanField(default=False, help_text="Says when each segment is spoken.")
    supports_direct = models.BooleanField(default=True, help_text="One request a sample.")
    supports_batch = models.BooleanField(default=False, help_text="Many samples in one job at the provider.")
    max_audio_seconds = models.FloatField(null=True, blank=True, help_text="Empty: no known limit.")
    max_audio_bytes = models.BigIntegerField(null=True, blank=True, help_text="Empty: no known limit.")
    languages = models.JSONField(default=list, blank=True, help_text="BCP-47; empty: any.")
    options = models.JSONField(default=dict, blank=True, help_text="For the provider's adapter.")
    is_active = models.BooleanField(default=True)

    objects = SpeechModelQuerySet.as_manager()

    class Meta:
        ordering = ["provider__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="model_name_unique_at_provider"),
        ]

    def __str__(self) -> str:
        return self.public_name

    @cached_property
    def public_name(self) -> str:
        return f"{self.provider.name}/{self.name}"

    @property
    def tasks(self) -> list[str]:
        """What it can be asked for: of "stt", "tts", "chat" and "translation"."""
        return [task for task, field in self.TASK_FIELDS.items() if getattr(self, field)]

    @property
    def modes(self) -> list[str]:
        """How it can be asked: of "direct" and "batch"."""
        return [mode for mode, able in (("direct", self.supports_direct), ("batch", self.supports_batch)) if able]

    @property
    def times(self) -> list[str]:
        """What it says the times of: of "words" and "segments"."""
        return [unit for unit, able in (("words", self.word_times), ("segments", self.segment_times)) if able]

    @property
    def audio_formats(self) -> list[str]:
        """Containers that it hears; empty: any that is taken in here."""
        return list(self.options.get("audio_formats") or [])

    @property
    def speech_formats(self) -> list[str]:
        """Encodings that it speaks in; empty: whichever is asked for."""
        return list(self.options.get("speech_formats") or [])

    @property
    def limits(self) -> list[str]:
        """What it does not go beyond, for a person."""
        limits = [f"languages: {', '.join(self.languages)}"] if self.languages else []
        if self.max_audio_seconds is not None:
            limits.append(f"{self.max_audio_seconds / 60:.4g} min")
        if self.max_audio_bytes is not None:
            limits.append(f"{self.max_audio_bytes / 1024**2:.4g} MB")
        formats = self.audio_formats or self.speech_formats
        return [*limits, *([f"formats: {', '.join(formats)}"] if formats else [])]

    def prices_on(self, day: date) -> list["Price"]:
        """The price of each unit that holds on that day, from prices that were prefetched."""
        begun = sorted((price for price in self.prices.all() if price.valid_from <= day), key=lambda p: p.valid_from)
        return list({price.unit: price for price in begun}.values())


class PriceQuerySet(models.QuerySet["Price"]):
    def in_force(self, on: date) -> Self:
        """Prices that have begun by that day, the latest first: the first of a model and unit is the one that holds."""
        return self.filter(valid_from__lte=on).order_by("-valid_from")


class Price(models.Model):
    """What a model costs from a day on. Without one its cost is unknown, never 0."""

    class Unit(models.TextChoices):
        AUDIO_MINUTE = "audio_minute", "a minute of audio"
        INPUT_TOKENS = "input_tokens", "a million input tokens"
        OUTPUT_TOKENS = "output_tokens", "a million output tokens"
        CHARACTERS = "characters", "a million characters"

    model = models.ForeignKey(SpeechModel, on_delete=models.CASCADE, related_name="prices")
    unit = models.CharField(max_length=20, choices=Unit.choices)
    usd = models.DecimalField("US dollars", max_digits=12, decimal_places=6, validators=[MinValueValidator(0)])
    valid_from = models.DateField()

    objects = PriceQuerySet.as_manager()

    class Meta:
        ordering = ["-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["model", "unit", "valid_from"], name="one_price_a_day_and_unit"),
        ]

    def __str__(self) -> str:
        dollars, _, cents = f"{self.usd.normalize():f}".partition(".")
        return f"${dollars}.{cents:0<2} {self.get_unit_display()}"
