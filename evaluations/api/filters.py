"""Filters of the REST lists of runs and results."""

from typing import Any

from django.core.validators import RegexValidator
from django_filters import rest_framework as filters

from core.api.filters import IdFilter
from evaluations.choices import Status
from evaluations.models import Result, ResultQuerySet, Run
from providers.reasons import Reason

LARGEST_RATE = 1_000_000


class RateFilter(filters.NumberFilter):
    """Filters by the word error rate of the sample."""

    def __init__(self, *, lookup_expr: str) -> None:
        text = "Of the sample; 0.5 is 50 %."
        super().__init__("score__wer", lookup_expr, min_value=0, max_value=LARGEST_RATE, help_text=text)


class RunFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=Status.choices)
    dataset = IdFilter(help_text="Id of the dataset.")
    search = filters.CharFilter(field_name="name", lookup_expr="icontains", help_text="In the run's name.")

    class Meta:
        model = Run
        fields: list[str] = []


class ResultFilter(filters.FilterSet):
    """Filters results; needs `with_score`."""

    model = filters.CharFilter(field_name="job__model_name", help_text="Public name: provider/name.")
    status = filters.ChoiceFilter(choices=Result.Status.choices)
    reason = filters.ChoiceFilter(choices=[*Reason.choices, ("cancelled", "Cancelled")])
    min_wer = RateFilter(lookup_expr="gte")
    max_wer = RateFilter(lookup_expr="lte")
    tag = filters.CharFilter(
        method="tagged",
        validators=[RegexValidator(r"^[^=]+=", "Give name=value, such as noise=street.")],
        help_text="Of the sample: name=value.",
    )
    search = filters.CharFilter(method="containing", help_text="In the sample's key, reference or hypothesis.")

    class Meta:
        model = Result
        fields: list[str] = []

    def tagged(self, results: ResultQuerySet, name: str, value: str) -> ResultQuerySet:
        tag, _, wanted = value.partition("=")
        return results.tagged(tag, wanted)

    def containing(self, results: ResultQuerySet, name: str, value: Any) -> ResultQuerySet:
        return results.containing(value)
