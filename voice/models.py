"""Voice pipelines, realtime sessions and their turns, and client secrets."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiKey, Workspace, WorkspaceOwnedQuerySet
from providers.models import SpeechModel

if TYPE_CHECKING:
    from accounts.access import Access

SEEN_WITHIN = timedelta(seconds=90)  # sessions are renewed every half minute


class VoicePipelineQuerySet(WorkspaceOwnedQuerySet):
    def with_models(self) -> Self:
        return self.select_related("stt_model__provider", "chat_model__provider", "tts_model__provider")


class VoicePipeline(models.Model):
    """Three models for a voice conversation: speech to text, chat, text to speech."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="voice_pipelines")
    name = models.CharField(
        max_length=100,
        validators=[RegexValidator(r"^[\w.:-]+\Z", "Use letters, digits and . _ : - only.")],
        help_text="What clients ask for: /v1/realtime?model=name.",
    )
    stt_model = models.ForeignKey(
        SpeechModel,
        on_delete=models.CASCADE,
        related_name="+",
        limit_choices_to={"speech_to_text": True},
        verbose_name="speech to text",
    )
    chat_model = models.ForeignKey(
        SpeechModel, on_delete=models.CASCADE, related_name="+", limit_choices_to={"chat": True}, verbose_name="chat"
    )
    tts_model = models.ForeignKey(
        SpeechModel,
        on_delete=models.CASCADE,
        related_name="+",
        limit_choices_to={"text_to_speech": True},
        verbose_name="text to speech",
    )
    voice = models.CharField(max_length=100, blank=True, help_text="Empty: the model's own.")
    instructions = models.TextField(
        blank=True, help_text="What the chat model is told first, where the client says nothing else."
    )
    is_default = models.BooleanField("default", default=False, help_text="For clients that ask for none.")

    objects = VoicePipelineQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"],
                name="pipeline_name_unique_in_workspace",
                violation_error_message="There is a pipeline of this name already.",
            ),
            models.UniqueConstraint(
                fields=["workspace"], condition=Q(is_default=True), name="one_default_pipeline_a_workspace"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RealtimeSessionQuerySet(WorkspaceOwnedQuerySet):
    def under_way(self) -> Self:
        """Open, and held by a living process."""
        return self.filter(ended_at=None, seen_at__gte=timezone.now() - SEEN_WITHIN)

    def lost(self) -> Self:
        """Sessions that are open although their process has died."""
        return self.filter(ended_at=None, seen_at__lt=timezone.now() - SEEN_WITHIN)

    def of_caller(self, access: "Access") -> Self:
        """Sessions of the same key, or of the same person if there is no key."""
        return self.filter(workspace=access.workspace, api_key=access.api_key, user=access.user)


class RealtimeSession(models.Model):
    """One connection to /v1/realtime. What was said in it is not stored."""

    class Dialect(models.TextChoices):
        GA = "ga", "GA"
        BETA = "beta", "Beta"

    class Kind(models.TextChoices):
        REALTIME = "realtime", "Conversation"
        TRANSCRIPTION = "transcription", "Transcription"

    class End(models.TextChoices):
        CLIENT = "client", "Closed by the client"
        DROPPED = "dropped", "Connection lost"
        IDLE = "idle", "Nothing happened for too long"
        EXPIRED = "expired", "Longest duration reached"
        RESTART = "restart", "The server was restarted"
        SLOW = "slow", "The client read too slowly"
        PROTOCOL = "protocol", "The client broke the protocol"
        FAULT = "fault", "A fault of ours"
        LOST = "lost", "The server's process died"
        ACCESS = "access", "The caller's access ended"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    caller = models.CharField(max_length=200, help_text="The key's or the person's name at the time.")
    dialect = models.CharField(max_length=10, choices=Dialect.choices)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    stt_model = models.CharField(
        "speech to text", max_length=200, help_text="At the session's beginning; turns have theirs."
    )
    chat_model = models.CharField("chat", max_length=200, blank=True)
    tts_model = models.CharField("text to speech", max_length=200, blank=True)
    errors = models.PositiveIntegerField(default=0, help_text="Error events that the client was sent.")
    end = models.CharField(max_length=20, choices=End.choices, blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="Renewed while it is open; afterwards the process is gone.")
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = RealtimeSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(end="", ended_at=None) | Q(ended_at__isnull=False) & ~Q(end=""),
                name="session_that_ended_says_how",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="sessions_of_workspace"),
            models.Index(fields=["workspace"], condition=Q(ended_at=None), name="sessions_under_way"),
        ]

    def __str__(self) -> str:
        return f"Session {self.pk}"

    @property
    def is_under_way(self) -> bool:
        """Open, and held by a living process."""
        return self.ended_at is None and self.seen_at >= timezone.now() - SEEN_WITHIN


class RealtimeTurnQuerySet(models.QuerySet["RealtimeTurn"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(session__workspace=workspace)


class RealtimeTurn(models.Model):
    """One turn of the user and its answer. Times in seconds; None: there was none."""

    class Status(models.TextChoices):
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"
        INCOMPLETE = "incomplete", "Cut off"
        FAILED = "failed", "Failed"

    session = models.ForeignKey(RealtimeSession, on_delete=models.CASCADE, related_name="turns")
    status = models.CharField(max_length=20, choices=Status.choices)
    reason = models.CharField(max_length=40, blank=True, help_text="Code of why it failed.")
    stt_model = models.CharField("speech to text", max_length=200, blank=True)
    chat_model = models.CharField("chat", max_length=200, blank=True)
    tts_model = models.CharField("text to speech", max_length=200, blank=True)
    heard_seconds = models.FloatField("heard", null=True, blank=True, help_text="Audio that was said.")
    spoken_seconds = models.FloatField("spoken", null=True, blank=True, help_text="Audio of the answer.")
    transcribed_after = models.FloatField(null=True, blank=True, help_text="From the end of speech to its text.")
    first_text_after = models.FloatField(
        null=True, blank=True, help_text="From asking the chat model to its first word."
    )
    first_sound_after = models.FloatField(null=True, blank=True, help_text="From asking the voice to its first sound.")
    delay = models.FloatField(
        null=True,
        blank=True,
        help_text="From the end of speech, as the client committed it or the silence behind it was heard, to the "
        "first audio of the answer.",
    )
    duration = models.FloatField(help_text="From the end of speech, or the request for a response, to the turn's end.")
    started_at = models.DateTimeField()

    objects = RealtimeTurnQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Turn {self.pk}"


class ClientSecretQuerySet(WorkspaceOwnedQuerySet):
    def valid(self, now: datetime) -> Self:
        return self.filter(expires_at__gt=now)


class ClientSecret(models.Model):
    """A short-lived key for a browser, made with a real key. Only its SHA-256 is stored."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    secret_hash = models.CharField(max_length=64, unique=True)
    session = models.JSONField(default=dict, help_text="What sessions begin with, as the client gave it.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    objects = ClientSecretQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(api_key__isnull=False) | Q(user__isnull=False), name="client_secret_has_a_maker"
            ),
        ]

    def __str__(self) -> str:
        return f"Client secret {self.pk}"
