"""How lists of runs and results are narrowed."""

from typing import Any

from django.core.validators import RegexValidator
from django_filters import rest_framework as filters

from evaluations.choices import Status
from evaluations.models import Result, ResultQuerySet, Run
from providers.reasons import Reason


class RunFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=Status.choices)
    dataset = filters.NumberFilter(help_text="Id of the dataset.")
    search = filters.CharFilter(field_name="name", lookup_expr="icontains", help_text="In the run's name.")

    class Meta:
        model = Run
        fields: list[str] = []


class ResultFilter(filters.FilterSet):
    """Of results `with_score`."""

    model = filters.CharFilter(field_name="job__model_name", help_text="Public name: provider/name.")
    status = filters.ChoiceFilter(choices=Result.Status.choices)
    reason = filters.ChoiceFilter(choices=[*Reason.choices, ("cancelled", "Cancelled")])
    min_wer = filters.NumberFilter(field_name="score__wer", lookup_expr="gte", help_text="Of the sample; 0.5 is 50 %.")
    max_wer = filters.NumberFilter(field_name="score__wer", lookup_expr="lte", help_text="Of the sample; 0.5 is 50 %.")
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
