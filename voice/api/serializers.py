"""Voice pipelines and realtime sessions, as the REST API takes and gives them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from providers.models import SpeechModel
from voice.models import RealtimeSession, RealtimeTurn, VoicePipeline


@extend_schema_field({"type": "string"})
class OwnModelField(serializers.RelatedField[SpeechModel, str, str]):
    """A model of the workspace that asks, by its public name."""

    def get_queryset(self) -> Any:
        return SpeechModel.objects.for_workspace(self.context["workspace"]).select_related("provider")

    def to_internal_value(self, data: str) -> SpeechModel:
        model: SpeechModel | None = self.get_queryset().named(data).first() if isinstance(data, str) else None
        if model is None:
            raise serializers.ValidationError(f"There is no model {data!r}: give a public name, provider/name.")
        return model

    def to_representation(self, value: Any) -> str:
        name: str = value.public_name
        return name


class PipelineSerializer(StrictMixin, serializers.ModelSerializer[VoicePipeline]):
    stt_model = OwnModelField(help_text="Public name, provider/name.")
    chat_model = OwnModelField(help_text="Public name, provider/name.")
    tts_model = OwnModelField(help_text="Public name, provider/name.")

    class Meta:
        model = VoicePipeline
        fields = ["id", "name", "stt_model", "chat_model", "tts_model", "voice", "instructions", "is_default"]
        validators: list[Any] = []  # the service checks the name, with a clearer message


class RealtimeSessionSerializer(serializers.ModelSerializer[RealtimeSession]):
    """A session, which must have its `tally`."""

    under_way = serializers.BooleanField(source="is_under_way", help_text="Open, and held by a process that lives.")
    turns = serializers.IntegerField(source="tally.turns")
    failed_turns = serializers.IntegerField(source="tally.failed")
    delay_p50 = serializers.FloatField(
        source="tally.p50", allow_null=True, help_text="seconds from the end of speech to the first audio of answers"
    )
    delay_p95 = serializers.FloatField(source="tally.p95", allow_null=True)

    class Meta:
        model = RealtimeSession
        fields = [
            *("id", "caller", "api_key", "dialect", "kind", "stt_model", "chat_model", "tts_model", "under_way", "end"),
            *("turns", "failed_turns", "delay_p50", "delay_p95", "errors", "started_at", "ended_at"),
        ]


class RealtimeTurnSerializer(serializers.ModelSerializer[RealtimeTurn]):
    """Times in seconds; null: there was none."""

    class Meta:
        model = RealtimeTurn
        exclude = ["session"]
