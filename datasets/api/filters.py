"""Filters of the REST lists of datasets and samples."""

from django.db.models import Q
from django_filters import rest_framework as filters

from datasets.models import Dataset, DatasetQuerySet, Sample, SampleQuerySet, Task


class DatasetFilter(filters.FilterSet):
    task = filters.ChoiceFilter(choices=Task.choices)
    language = filters.CharFilter()
    search = filters.CharFilter(method="containing", help_text="In the name or the description.")

    class Meta:
        model = Dataset
        fields: list[str] = []

    def containing(self, rows: DatasetQuerySet, name: str, value: str) -> DatasetQuerySet:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))


class SampleFilter(filters.FilterSet):
    search = filters.CharFilter(method="containing", help_text="In the key, the reference or the text.")
    has_reference = filters.BooleanFilter(field_name="reference", lookup_expr="isnull", exclude=True)
    language = filters.CharFilter(method="spoken_in", help_text="The sample's own, or else its dataset's.")
    is_duplicate = filters.BooleanFilter()

    class Meta:
        model = Sample
        fields: list[str] = []

    def containing(self, rows: SampleQuerySet, name: str, value: str) -> SampleQuerySet:
        return rows.filter(Q(key__icontains=value) | Q(reference__icontains=value) | Q(text__icontains=value))

    def spoken_in(self, rows: SampleQuerySet, name: str, value: str) -> SampleQuerySet:
        return rows.spoken_in(value)
