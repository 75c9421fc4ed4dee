"""Usage: every call in a list that opens at any size, and what they come to on a page with charts."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin, access_of, rows_of
from accounts.models import ApiKey, Role
from core.admin_paging import NoCountMixin
from gateway import figures
from gateway.admin.usage_page import months_until, usage_context
from gateway.exporting import usage_file
from gateway.models import UsageRecord
from gateway.usage.budgets import month_of
from providers.models import SpeechModel


class Choice(admin.SimpleListFilter):
    """A filter whose choices come from other tables, or from none: they do not read the records."""

    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        known = {str(choice) for choice, _ in self.lookup_choices}
        return self.narrow(queryset, value) if value in known else queryset.none()

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{self.column: value})


class MonthFilter(Choice):
    title = "month (UTC)"
    parameter_name = "month"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(f"{month:%Y-%m}", f"{month:%B %Y}") for month in months_until(month_of(timezone.now()))]

    def narrow(self, queryset: Any, value: str) -> QuerySet[Any]:
        narrowed: QuerySet[Any] = queryset.in_month(date.fromisoformat(f"{value}-01"))
        return narrowed


class KeyFilter(Choice):
    title = "API key"
    parameter_name = "key"
    column = "api_key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(str(key.pk), str(key)) for key in rows_of(ApiKey, request).order_by("name")]


class ModelFilter(Choice):
    title = "model that served"
    parameter_name = "model"
    column = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(str(model.pk), str(model)) for model in rows_of(SpeechModel, request).select_related("provider")]


@admin.register(UsageRecord)
class UsageRecordAdmin(NoCountMixin, WorkspaceAdmin):
    """Read only: what was used is not changed by hand."""

    view_role = Role.EVALUATOR
    add_role = change_role = delete_role = None
    list_display = ["began", "endpoint", "asked_for", "outcome", "amount", "cost", "took", "key_name", "request_id"]
    list_filter = [MonthFilter, KeyFilter, ModelFilter, "endpoint", "result"]
    list_filter_submit = True
    list_before_template = "admin/gateway/usagerecord/_about.html"
    empty_text = "The gateway speaks OpenAI's protocol at /v1/. Each call that it takes is listed here."
    search_fields = ["request_id"]
    search_help_text = "Request id"
    show_facets = admin.ShowFacets.NEVER  # they would count every call
    sortable_by: list[str] = []
    ordering = ["-pk"]
    actions = None
    fields = ["request_id", "endpoint", "asked_for", "outcome", "key_name", "amount", "cost"]
    fields += ["began", "settled_at", "took", "first_answer", "session", "fingerprint"]
    readonly_fields = ["asked_for", "outcome", "amount", "cost", "began", "took", "first_answer", "session"]
    readonly_fields += ["fingerprint"]

    class Media:
        css = {"all": ["gateway/gateway.css"]}

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("summary/", self.admin_site.admin_view(self.summary_view), name="gateway_usagerecord_summary"),
            path("export/", self.admin_site.admin_view(self.export_view), name="gateway_usagerecord_export"),
        ]
        return [*own, *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """The whole id: the list is too long for looking into them."""
        term = search_term.strip()
        return (queryset.filter(request_id=term) if term else queryset), False

    def summary_view(self, request: HttpRequest) -> HttpResponse:
        """What was used in `?month=2026-11`, this month without one, and by `?key=` (an id) or `?model=` alone."""
        access = access_of(request)
        if access is None or not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            **usage_context(access.workspace, request.GET, timezone.now()),
            "title": "Usage",
            "content_title": "Usage",
        }
        return TemplateResponse(request, "admin/gateway/usagerecord/summary.html", context)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """A CSV file of the calls that the list shows with the same filters."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            records: Any = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:gateway_usagerecord_changelist"))
        return usage_file(request, records)

    @display(description="Began (UTC)")
    def began(self, record: UsageRecord) -> str:
        return f"{record.created_at:%Y-%m-%d %H:%M:%S}"

    @display(description="Model")
    def asked_for(self, record: UsageRecord) -> SafeString | str:
        if record.served_by in ("", record.model_name):
            return record.model_name
        return format_html('{} <span class="gw-quiet">by {}</span>', record.model_name, record.served_by)

    @display(description="Result")
    def outcome(self, record: UsageRecord) -> SafeString:
        label = record.get_result_display() or record.get_state_display()
        details = " ".join(str(each) for each in (record.status, record.reason) if each)
        pill = format_html('<span class="gw-pill gw-{}">{}</span>', record.result or record.state, label)
        return pill if record.result == "success" else format_html('{} <span class="gw-quiet">{}</span>', pill, details)

    @display(description="Amount")
    def amount(self, record: UsageRecord) -> str:
        parts = []
        if record.audio_seconds is not None:
            parts.append(figures.seconds(record.audio_seconds))
        if record.characters is not None:
            parts.append(f"{record.characters:,} characters")
        if record.input_tokens is not None or record.output_tokens is not None:
            parts.append(f"{figures.count(record.input_tokens)} / {figures.count(record.output_tokens)} tokens")
        return ", ".join(parts) or figures.NONE

    @display(description="Cost")
    def cost(self, record: UsageRecord) -> str:
        return figures.NONE if record.state == UsageRecord.State.RESERVED else figures.usd(record.cost_usd)

    @display(description="First byte after")
    def first_answer(self, record: UsageRecord) -> str:
        return figures.seconds(record.first_byte)

    @display(description="Voice session")
    def session(self, record: UsageRecord) -> SafeString | str:
        if record.session_id is None:
            return figures.NONE
        address = reverse("admin:voice_realtimesession_change", args=[record.session_id])
        return format_html('<a class="gw-link" href="{}">Session {}</a>', address, record.session_id)

    @display(description="SHA-256 of the request's body")
    def fingerprint(self, record: UsageRecord) -> SafeString:
        return format_html('<span class="gw-break">{}</span>', record.body_sha256 or figures.NONE)

    @display(description="Latency")
    def took(self, record: UsageRecord) -> str:
        return figures.seconds(record.latency)
