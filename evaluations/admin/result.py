"""Admin of results: a list that is fast at any size, and the page of one result with its audio and texts."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin
from core.admin_paging import NoCountChangeList, NoCountMixin, NoCountPaginator
from evaluations.admin.labels import status_pill
from evaluations.admin.result_filters import RESULT_FILTERS, chosen_filters, run_of
from evaluations.admin.result_page import result_context
from evaluations.models import Result, ResultQuerySet
from evaluations.templatetags import figures

SHORT = 90  # characters of a hypothesis in the list
NULLABLE = ("score__wer", "audio_seconds", "latency")


class ResultPaginator(NoCountPaginator):
    """Finds a page's keys first and joins only those rows, so that a page deep in the list is fast."""

    def rows(self, first: int, last: int) -> list[Any]:
        keys: ResultQuerySet = self.object_list  # type: ignore[assignment]
        return list(Result.objects.filter(pk__in=keys[first:last]).for_list().order_by(*keys.query.order_by))


class ResultChangeList(NoCountChangeList):
    """Orders rows without a value (not finished, not scored) last, in both directions."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[OrderBy | str]:
        return [_nulls_last(str(name)) for name in super().get_ordering(request, queryset)]


def _nulls_last(name: str) -> OrderBy | str:
    """Return the order with nulls last. Keys are left alone: `NULLS LAST` would prevent the use of their index."""
    column = name.removeprefix("-")
    if column not in NULLABLE:
        return name
    return F(column).desc(nulls_last=True) if name.startswith("-") else F(column).asc(nulls_last=True)


@admin.register(Result)
class ResultAdmin(NoCountMixin, WorkspaceAdmin):
    add_role = change_role = delete_role = None
    paginator = ResultPaginator
    list_display = ("key", "model_name", "outcome", "wer", "audio", "took", "hypothesis_start")
    list_display_links = ("key",)
    list_filter = RESULT_FILTERS
    list_filter_submit = True
    list_before_template = "admin/evaluations/result/_narrowed.html"
    search_fields = ("sample__key", "sample__reference", "hypothesis")
    empty_text = "Results come with runs: one for each sample and model."
    search_help_text = "Sample key, reference or hypothesis"
    actions = None
    show_facets = admin.ShowFacets.NEVER  # they would count every result
    ordering = ("-pk",)

    class Media:
        css = {"all": ["evaluations/evaluations.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Result]:
        results: ResultQuerySet = super().get_queryset(request)  # type: ignore[assignment]
        return results.with_score()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ResultChangeList]:
        return ResultChangeList

    def get_paginator(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        if queryset.model is not Result:  # a page's history
            return Paginator(queryset, *args, **kwargs)
        return super().get_paginator(request, queryset.values_list("pk", flat=True), *args, **kwargs)

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        """Allow sorting within one run only: across all runs it would read every result."""
        return ("key", "wer", "audio", "took") if run_of(request) else ()

    @display(description="Sample", ordering="sample__key")
    def key(self, result: Result) -> SafeString:
        return format_html('<span class="ev-key">{}</span>', result.sample.key)

    @display(description="Model")
    def model_name(self, result: Result) -> SafeString:
        return format_html('<span class="ev-num">{}</span>', result.job.model_name)

    @display(description="Status")
    def outcome(self, result: Result) -> SafeString:
        pill = status_pill(result.status, result.get_status_display())
        if not result.reason or result.status == Result.Status.CANCELLED:
            return pill
        label = figures.reason_label(result.reason)
        tone = "ev-reason" if result.status == Result.Status.FAILED else "ev-reason ev-quiet"
        return format_html('{} <span class="{}" title="{}">{}</span>', pill, tone, label, result.reason)

    @display(description="WER", ordering="score__wer")
    def wer(self, result: Any) -> str:
        return figures.rate(result.wer)

    @display(description="Audio", ordering="audio_seconds")
    def audio(self, result: Result) -> str:
        return figures.seconds(result.audio_seconds)

    @display(description="Latency", ordering="latency")
    def took(self, result: Result) -> str:
        return figures.seconds(result.latency)

    @display(description="Hypothesis")
    def hypothesis_start(self, result: Any) -> SafeString | str:
        if result.status != Result.Status.COMPLETED:
            return figures.NONE
        if not result.hypothesis_start:
            return format_html('<span class="ev-quiet">{}</span>', "(empty)")
        cut = result.hypothesis_start[:SHORT]
        dots = "…" if len(result.hypothesis_start) > SHORT else ""
        return format_html('<span class="ev-hypothesis" dir="auto">{}{}</span>', cut, dots)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)
        if context and "cl" in context:
            context |= {"narrowed": chosen_filters(context["cl"]), "run_id": run_of(request)}
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        result = self.get_object(request, object_id)
        if result is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        context = {**shared, **result_context(result), "title": result.sample.key, "original": result}
        return TemplateResponse(request, "admin/evaluations/result/page.html", context)
