"""What the serializers of every room share."""

from typing import Any

from rest_framework import serializers


class StrictMixin(serializers.Serializer):
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
