"""Serializers of API keys, and the mixin that all input serializers share."""

from typing import Any

from rest_framework import serializers

from accounts.models import ApiKey

MOST_REQUESTS = 1_000_000  # a minute, that somebody could mean


class StrictMixin(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt one is an error and not a surprise."""

    def to_internal_value(self, data: Any) -> Any:
        if hasattr(data, "keys"):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            unknown = sorted(set(data.keys()) - writable)
            if unknown:
                raise serializers.ValidationError(
                    {name: [f"Unknown or read-only field. Known: {', '.join(sorted(writable))}."] for name in unknown}
                )
        return super().to_internal_value(data)


class ApiKeySerializer(StrictMixin, serializers.ModelSerializer[ApiKey]):
    created_by = serializers.CharField(source="created_by.username", read_only=True, default=None)

    class Meta:
        model = ApiKey
        fields = [
            *("id", "name", "role", "prefix", "requests_per_minute"),
            *("created_by", "created_at", "last_used_at", "revoked_at"),
        ]
        extra_kwargs = {"requests_per_minute": {"max_value": MOST_REQUESTS}}


class NewApiKeySerializer(ApiKeySerializer):
    secret = serializers.CharField(read_only=True, help_text="The key itself: it is told this once.")

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "secret"]


class ApiKeyChangeSerializer(StrictMixin, serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = ["requests_per_minute"]
        extra_kwargs = {"requests_per_minute": {"required": True, "max_value": MOST_REQUESTS}}
