"""Usage, budgets and model aliases, as the REST API takes and gives them."""

from typing import Any

from rest_framework import serializers

from accounts.api.serializers import StrictMixin
from accounts.models import ApiKey
from gateway.exporting import COLUMNS
from gateway.models import AliasTarget, Budget, ModelAlias, UsageRecord


class UsageSerializer(serializers.ModelSerializer[UsageRecord]):
    class Meta:
        model = UsageRecord
        fields = COLUMNS


class UsageTotalSerializer(serializers.Serializer[Any]):
    """What the calls of a day, a model or a key come to."""

    name = serializers.CharField(
        help_text="The day (UTC), the model that served (empty: none did), or the key (empty: none)."
    )
    key_id = serializers.IntegerField(allow_null=True, required=False, help_text="By key alone.")
    calls = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Failed or lost.")
    under_way = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="Calls whose cost is not known: no part of cost_usd.")
    cost_usd = serializers.DecimalField(max_digits=16, decimal_places=8)
    audio_seconds = serializers.FloatField()
    characters = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    mean_latency = serializers.FloatField(allow_null=True, help_text="seconds, of calls that succeeded")


class UsageSummarySerializer(serializers.Serializer[Any]):
    by = serializers.ChoiceField(choices=["day", "model", "key"])
    month = serializers.CharField(help_text="YYYY-MM (UTC)")
    results = UsageTotalSerializer(many=True)


class OwnKeyField(serializers.PrimaryKeyRelatedField[ApiKey]):
    """An API key of the workspace that asks."""

    def get_queryset(self) -> Any:
        return ApiKey.objects.for_workspace(self.context["workspace"])


class BudgetSerializer(StrictMixin, serializers.ModelSerializer[Budget]):
    api_key = OwnKeyField(required=False, allow_null=True, help_text="Its id; null: the whole workspace.")
    key_name = serializers.CharField(source="api_key.name", read_only=True, default=None)
    spent_usd = serializers.DecimalField(
        max_digits=16, decimal_places=8, read_only=True, help_text="This month (UTC), as far as it is known."
    )
    reserved_usd = serializers.DecimalField(
        max_digits=16, decimal_places=8, read_only=True, help_text="Held for calls under way."
    )
    unknown = serializers.IntegerField(read_only=True, help_text="Calls of this month whose cost is not known.")

    class Meta:
        model = Budget
        fields = ["id", "api_key", "key_name", "monthly_usd", "spent_usd", "reserved_usd", "unknown"]
        validators: list[Any] = []  # the service says it better


class BudgetChangeSerializer(StrictMixin, serializers.ModelSerializer[Budget]):
    class Meta:
        model = Budget
        fields = ["monthly_usd"]


class TargetSerializer(StrictMixin, serializers.ModelSerializer[AliasTarget]):
    model = serializers.CharField(source="model.public_name", help_text="Public name, provider/name.")
    weight = serializers.IntegerField(min_value=1, max_value=1000, default=1)

    class Meta:
        model = AliasTarget
        fields = ["model", "weight"]


class ModelAliasSerializer(StrictMixin, serializers.ModelSerializer[ModelAlias]):
    targets = TargetSerializer(many=True, help_text="The models, in the order in which they are tried.")

    class Meta:
        model = ModelAlias
        fields = ["id", "name", "strategy", "targets"]
        validators: list[Any] = []


class ModelAliasChangeSerializer(ModelAliasSerializer):
    """What is left out stays as it is; targets are given all or not at all."""

    targets = TargetSerializer(many=True, required=False)

    class Meta(ModelAliasSerializer.Meta):
        extra_kwargs = {"name": {"required": False}}
