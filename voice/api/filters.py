from django_filters import rest_framework as filters

from core.api.filters import IdFilter
from voice.models import RealtimeSession


class RealtimeSessionFilter(filters.FilterSet):
    key = IdFilter(field_name="api_key", help_text="An API key's id.")
    kind = filters.ChoiceFilter(choices=RealtimeSession.Kind.choices)
    dialect = filters.ChoiceFilter(choices=RealtimeSession.Dialect.choices)
    end = filters.ChoiceFilter(choices=RealtimeSession.End.choices)
    after = filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")
