from django_filters import rest_framework as filters

from gateway.api.filters import LARGEST_ID
from voice.models import RealtimeSession


class RealtimeSessionFilter(filters.FilterSet):
    key = filters.NumberFilter(field_name="api_key", max_value=LARGEST_ID, help_text="An API key's id.")
    kind = filters.ChoiceFilter(choices=RealtimeSession.Kind.choices)
    dialect = filters.ChoiceFilter(choices=RealtimeSession.Dialect.choices)
    end = filters.ChoiceFilter(choices=RealtimeSession.End.choices)
    after = filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")
