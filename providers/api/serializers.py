"""Providers and models, as the REST API takes and gives them."""

from typing import Any, cast

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from providers.adapters.base import Adapter
from providers.capabilities import lists_models, streamed_tasks, tasks_of_kind
from providers.limits import why_waiting
from providers.model_services import ModelSettings
from providers.models import Price, Provider, SpeechModel


class PriceSerializer(serializers.ModelSerializer[Price]):
    per = serializers.CharField(source="get_unit_display", help_text="What it is paid for.")

    class Meta:
        model = Price
        fields = ["unit", "per", "usd", "valid_from"]


class SpeechModelSerializer(serializers.ModelSerializer[SpeechModel]):
    id = serializers.CharField(source="public_name", help_text="provider/name: what runs and requests call it.")
    provider = serializers.CharField(source="provider.name")
    url = serializers.SerializerMethodField(help_text="Where it is read and changed.")
    tasks = serializers.ListField(child=serializers.CharField(), help_text="Of stt, tts, chat and translation.")
    streams = serializers.SerializerMethodField(help_text="Tasks that are answered while the answer is being made.")
    modes = serializers.ListField(child=serializers.CharField(), help_text="Of direct and batch.")
    times = serializers.ListField(child=serializers.CharField(), help_text="Of words and segments.")
    languages = serializers.ListField(child=serializers.CharField(), help_text="BCP-47; empty: any.")
    audio_formats = serializers.ListField(child=serializers.CharField(), help_text="It hears; empty: any.")
    speech_formats = serializers.ListField(child=serializers.CharField(), help_text="It speaks; empty: any.")
    max_audio_seconds = serializers.FloatField(allow_null=True, help_text="null: no known limit.")
    max_audio_bytes = serializers.IntegerField(allow_null=True, help_text="null: no known limit.")
    prices = serializers.SerializerMethodField(help_text="Of today; none: what it costs is not known.")

    class Meta:
        model = SpeechModel
        fields = [
            "id",
            "provider",
            "name",
            "url",
            "upstream_name",
            "is_active",
            "tasks",
            "streams",
            "modes",
            "times",
            "languages",
            "audio_formats",
            "speech_formats",
            "max_audio_seconds",
            "max_audio_bytes",
            "options",
            "prices",
        ]

    def get_url(self, model: SpeechModel) -> str:
        return reverse("model-detail", args=[model.pk])

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_streams(self, model: SpeechModel) -> list[str]:
        return streamed_tasks(model)

    @extend_schema_field(PriceSerializer(many=True))
    def get_prices(self, model: SpeechModel) -> Any:
        return PriceSerializer(model.prices_on(timezone.localdate()), many=True).data


class KindSerializer(serializers.Serializer[Any]):
    """A kind of provider: what is entered for one, and what it can do."""

    kind = serializers.CharField()
    title = serializers.CharField(source="info.label")
    help = serializers.CharField(source="info.help")
    address = serializers.CharField(source="info.address", help_text="none, optional or required")
    default_address = serializers.CharField(source="info.default_address", help_text="Called where none is entered.")
    credential = serializers.CharField(source="info.credential", help_text="none, optional or required")
    tasks = serializers.SerializerMethodField(help_text="Of stt, tts, chat and translation.")
    lists_models = serializers.SerializerMethodField(help_text="Whether it says which models it offers.")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_tasks(self, adapter: type[Adapter]) -> list[str]:
        return tasks_of_kind(adapter.kind)

    def get_lists_models(self, adapter: type[Adapter]) -> bool:
        return lists_models(adapter.kind)


class ProviderSerializer(StrictMixin, serializers.ModelSerializer[Provider]):
    kind = serializers.CharField(max_length=40)
    credential = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=4000, help_text="Never shown. Empty removes it."
    )
    models = serializers.ListField(
        source="model_names", child=serializers.CharField(), read_only=True, help_text="Public names."
    )
    waiting_for = serializers.SerializerMethodField(help_text="Why no call may begin now; empty where one may.")

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
            "waiting_for",
            "models",
            "created_at",
        ]
        read_only_fields = ["id", "has_credential", "created_at"]

    def get_waiting_for(self, provider: Provider) -> str:
        return why_waiting(provider)


class ProviderChangeSerializer(StrictMixin, serializers.ModelSerializer[Provider]):
    """A provider's kind stays as it is."""

    credential = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=4000, help_text="Empty removes the stored one."
    )

    class Meta:
        model = Provider
        fields = ["name", "base_url", "credential", "max_concurrency", "requests_per_minute", "is_active"]


class SpeechModelChangeSerializer(StrictMixin, serializers.ModelSerializer[SpeechModel]):
    """A model stays at its provider."""

    tasks = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(SpeechModel.TASK_FIELDS)), allow_empty=False, required=False
    )
    languages = serializers.ListField(child=serializers.CharField(max_length=35), required=False)
    options = serializers.DictField(required=False, help_text="For the provider's adapter.")

    class Meta:
        model = SpeechModel
        fields = [
            "name",
            "upstream_name",
            "tasks",
            "supports_direct",
            "supports_batch",
            "word_times",
            "segment_times",
            "languages",
            "max_audio_seconds",
            "max_audio_bytes",
            "options",
            "is_active",
        ]

    def settings(self) -> ModelSettings:
        """What was asked for, as the services take it."""
        fields = dict(self.validated_data)
        tasks = fields.pop("tasks", None)
        if tasks is not None:
            fields.update({field: task in tasks for task, field in SpeechModel.TASK_FIELDS.items()})
        return cast(ModelSettings, fields)


class NewPriceSerializer(StrictMixin, serializers.ModelSerializer[Price]):
    """A price from a day on; one of the same unit and day is replaced."""

    class Meta:
        model = Price
        fields = ["unit", "usd", "valid_from"]
        validators: list[Any] = []


class ChosenModelSerializer(StrictMixin):
    name = serializers.CharField(max_length=200, help_text="The provider's own.")
    tasks = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(SpeechModel.TASK_FIELDS)), allow_empty=False
    )


class ChosenModelsSerializer(StrictMixin):
    models = ChosenModelSerializer(many=True, allow_empty=False)


class UpstreamModelSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="The provider's own.")
    added = serializers.BooleanField(help_text="There is a model of that upstream name here.")


class UpstreamSerializer(serializers.Serializer[Any]):
    """What the provider says it offers."""

    models = UpstreamModelSerializer(many=True)
    fault = serializers.CharField(help_text="Why there is no list.")
    reason = serializers.CharField(help_text="Code of what went wrong.")
    advice = serializers.CharField(help_text="What to do about it.")


class CheckSerializer(serializers.Serializer[Any]):
    task = serializers.CharField(help_text="models (they were listed), tts, stt or chat")
    model = serializers.CharField(help_text="Public name; empty where models were listed.")
    ok = serializers.BooleanField()
    latency = serializers.FloatField(help_text="seconds, waiting for a free place included")
    found = serializers.CharField(help_text="What came, for a person.")
    text_length = serializers.IntegerField(allow_null=True, help_text="Characters that were heard or answered.")
    reason = serializers.CharField(help_text="Code of what went wrong.")
    fault = serializers.CharField(help_text="What went wrong, for a person.")
    advice = serializers.CharField(help_text="What to do about it.")


class CheckupSerializer(serializers.Serializer[Any]):
    """What came of really calling the provider: its list of models, and its first model of each task."""

    ok = serializers.BooleanField()
    fault = serializers.CharField(help_text="Why nothing could be tried.")
    checks = CheckSerializer(many=True)
