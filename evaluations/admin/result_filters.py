"""Filters of the result list. Their choices come from runs, jobs and enums, so that none reads the results."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeNumericListFilter, TextFilter

from accounts.admin_base import access_of
from core.text import id_in
from evaluations.models import Job, Result, Run
from providers.reasons import Reason

RECENT_RUNS = 200


def run_of(request: HttpRequest) -> int | None:
    """Return the id of the run that the list is filtered by; None without one."""
    return id_in(request.GET.get("run", ""))


class Filter(admin.SimpleListFilter):
    """A filter that can describe its choice. It is rendered without a form of its own, which would be slow."""

    template = "admin/evaluations/result/_filter_choice.html"

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for value, label in self.lookup_choices:
            yield {"value": value, "label": label, "selected": value == self.value()}

    def chosen(self) -> str:
        """Return the choice as a text for people; empty without one."""
        value = self.value() or ""
        return str(dict(self.lookup_choices).get(value, value))


class RunFilter(Filter):
    title = "run"
    parameter_name = "run"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        access = access_of(request)
        if access is None:
            return []
        runs = Run.objects.for_workspace(access.workspace).values_list("pk", "name")
        recent = dict(runs.order_by("-pk")[:RECENT_RUNS])
        wanted = run_of(request)
        if wanted and wanted not in recent:
            recent |= dict(runs.filter(pk=wanted))
        return [(str(pk), f"{name} (#{pk})") for pk, name in recent.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        if not self.value():
            return queryset
        run = run_of(request)
        return queryset.filter(run=run) if run else queryset.none()


class ModelFilter(Filter):
    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        access = access_of(request)
        jobs = Job.objects.filter(run__workspace=access.workspace) if access else Job.objects.none()
        if run := run_of(request):
            jobs = jobs.filter(run=run)
        names = jobs.order_by("model_name").values_list("model_name", flat=True).distinct()
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        if not self.value():
            return queryset
        jobs = Job.objects.filter(model_name=self.value())
        if run := run_of(request):
            jobs = jobs.filter(run=run)
        return queryset.filter(job__in=jobs)


class StatusFilter(Filter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return Result.Status.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class ReasonFilter(Filter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(reason.value, reason.value.replace("_", " ")) for reason in Reason]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        return queryset.filter(reason=self.value()) if self.value() else queryset


class OutputFilter(Filter):
    title = "output"
    parameter_name = "output"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("empty", "Empty: completed without a word"), ("text", "Some text")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        if self.value() not in ("empty", "text"):
            return queryset
        completed = queryset.filter(status=Result.Status.COMPLETED)
        return completed.filter(hypothesis="") if self.value() == "empty" else completed.exclude(hypothesis="")


class WerFilter(RangeNumericListFilter):
    title = "WER of the sample, in percent"
    parameter_name = "wer"
    template = "admin/evaluations/result/_filter_range.html"

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for end, word in (("from", "From"), ("to", "To")):
            name = f"wer_{end}"
            yield {"name": name, "word": word, "value": self.used_parameters.get(name, "")}

    def bounds(self) -> tuple[float | None, float | None]:
        """Return the inclusive bounds in percent; None for a bound that is missing or no number."""
        low, high = (self.used_parameters.get(f"wer_{end}") for end in ("from", "to"))
        return _number(low), _number(high)

    def chosen(self) -> str:
        low, high = self.bounds()
        words = [f"from {low:g}%" if low is not None else "", f"to {high:g}%" if high is not None else ""]
        return " ".join(word for word in words if word)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        low, high = self.bounds()
        if low is not None:
            queryset = queryset.filter(Q(score__wer__gte=low / 100))
        return queryset if high is None else queryset.filter(Q(score__wer__lte=high / 100))


class TagFilter(TextFilter):
    title = "tag of the sample"
    parameter_name = "tag"
    template = "admin/evaluations/result/_filter_tag.html"

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield {"value": self.value() or ""}

    def chosen(self) -> str:
        return self.value() or ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Result]) -> QuerySet[Result]:
        name, _, value = (self.value() or "").partition("=")
        if not name.strip():
            return queryset
        return queryset.tagged(name.strip(), value.strip())  # type: ignore[attr-defined, no-any-return]


RESULT_FILTERS = (RunFilter, ModelFilter, StatusFilter, ReasonFilter, OutputFilter, WerFilter, TagFilter)


def chosen_filters(changelist: ChangeList) -> list[tuple[str, str]]:
    """Return the chosen filters of the list: (title, choice)."""
    chosen = ((str(spec.title), spec.chosen()) for spec in changelist.filter_specs if hasattr(spec, "chosen"))
    return [(title, value) for title, value in chosen if value]


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
