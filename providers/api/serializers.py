"""Providers and models, as the REST API takes and gives them."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from providers.models import Price, Provider, SpeechModel


class PriceSerializer(serializers.ModelSerializer[Price]):
    per = serializers.CharField(source="get_unit_display", help_text="What it is paid for.")

    class Meta:
        model = Price
        fields = ["unit", "per", "usd", "valid_from"]


class SpeechModelSerializer(serializers.ModelSerializer[SpeechModel]):
    id = serializers.CharField(source="public_name", help_text="provider/name: what runs and requests call it.")
    provider = serializers.CharField(source="provider.name")
    tasks = serializers.ListField(child=serializers.CharField(), help_text="Of stt and tts.")
    modes = serializers.ListField(child=serializers.CharField(), help_text="Of direct and batch.")
    languages = serializers.ListField(child=serializers.CharField(), help_text="BCP-47; empty: any.")
    max_audio_seconds = serializers.FloatField(allow_null=True, help_text="null: no known limit.")
    max_audio_bytes = serializers.IntegerField(allow_null=True, help_text="null: no known limit.")
    prices = serializers.SerializerMethodField(help_text="Of today; none: what it costs is not known.")

    class Meta:
        model = SpeechModel
        fields = [
            "id",
            "provider",
            "name",
            "tasks",
            "modes",
            "languages",
            "max_audio_seconds",
            "max_audio_bytes",
            "prices",
        ]

    @extend_schema_field(PriceSerializer(many=True))
    def get_prices(self, model: SpeechModel) -> Any:
        return PriceSerializer(model.prices_on(timezone.localdate()), many=True).data


class ProviderSerializer(StrictMixin, serializers.ModelSerializer[Provider]):
    kind = serializers.CharField(max_length=40)
    credential = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=4000, help_text="Never shown. Empty removes it."
    )
    models = serializers.ListField(
        source="model_names", child=serializers.CharField(), read_only=True, help_text="Public names."
    )

    class Meta:
        model = Provider
        fields = [
            "id",
            "name",
            "kind",
            "base_url",
            "credential",
            "has_credential",
            "max_concurrency",
            "requests_per_minute",
            "is_active",
            "models",
            "created_at",
        ]
        read_only_fields = ["id", "has_credential", "created_at"]


class ProviderChangeSerializer(StrictMixin, serializers.ModelSerializer[Provider]):
    """A provider's kind stays as it is."""

    credential = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=4000, help_text="Empty removes the stored one."
    )

    class Meta:
        model = Provider
        fields = ["name", "base_url", "credential", "max_concurrency", "requests_per_minute", "is_active"]


class ModelCheckSerializer(serializers.Serializer):
    model = serializers.CharField(help_text="Public name.")
    task = serializers.CharField(help_text="stt or tts")
    ok = serializers.BooleanField()
    latency = serializers.FloatField(help_text="seconds, waiting for a free place included")
    text_length = serializers.IntegerField(allow_null=True, help_text="Characters that were heard.")
    reason = serializers.CharField(help_text="Code of what went wrong.")
    fault = serializers.CharField(help_text="What went wrong, for a person.")


class CheckupSerializer(serializers.Serializer):
    """What came of really calling the provider's first model of each task."""

    ok = serializers.BooleanField()
    fault = serializers.CharField(help_text="Why nothing could be tried.")
    checks = ModelCheckSerializer(many=True)
