from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework.exceptions import ValidationError

from core.api.filters import IdFilter
from gateway.models import UsageRecord
from gateway.usage.budgets import month_named


class UsageFilter(filters.FilterSet):
    month = filters.CharFilter(method="of_month", help_text="A calendar month (UTC), such as 2026-11.")
    key = IdFilter(field_name="api_key", help_text="An API key's id.")
    model = filters.CharFilter(method="of_model", help_text="What was asked for, or the model that served.")
    endpoint = filters.ChoiceFilter(choices=UsageRecord.Endpoint.choices)
    state = filters.ChoiceFilter(choices=UsageRecord.State.choices)
    result = filters.ChoiceFilter(choices=UsageRecord.Result.choices)
    request_id = filters.CharFilter()
    session = IdFilter(field_name="session_id", help_text="A realtime session's id.")
    after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    def of_month(self, records: Any, name: str, month: str) -> QuerySet[UsageRecord]:
        try:
            narrowed: QuerySet[UsageRecord] = records.in_month(month_named(month))
        except ValueError:
            raise ValidationError({"month": ["Give a month as YYYY-MM."]}) from None
        return narrowed

    def of_model(self, records: QuerySet[UsageRecord], name: str, model: str) -> QuerySet[UsageRecord]:
        return records.filter(Q(served_by=model) | Q(model_name=model))
