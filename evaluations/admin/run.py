"""Admin of runs: the list, the form that starts one, and the page that shows one live."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin, add_error, errors_as_messages
from accounts.workspaces import WorkspaceRequest
from core.errors import EarshotError
from evaluations.admin.labels import chips, run_bar, status_pill
from evaluations.admin.run_page import board_context, live_context, prompts_of, remote_context
from evaluations.admin.start import StartForm, estimate_of, model_choices
from evaluations.models import Run, RunQuerySet
from evaluations.services import (
    cancel_run,
    delete_run,
    retry_failed,
    start_collecting,
    start_rescore,
    start_run,
)
from evaluations.templatetags.figures import NONE, duration

TEMPLATES = "admin/evaluations/run"


@admin.register(Run)
class RunAdmin(WorkspaceAdmin):
    list_display = (
        "name",
        "show_status",
        "dataset",
        "show_models",
        "show_progress",
        "show_failed",
        "created",
        "took",
    )
    list_filter = (("status", ChoicesDropdownFilter), ("dataset", RelatedDropdownFilter))
    list_filter_submit = True
    list_select_related = ("dataset",)
    list_display_links = ("name",)
    empty_text = "A run has models transcribe a dataset and compares them."
    search_fields = ("name", "dataset__name")
    search_help_text = "Name of the run or its dataset"
    ordering = ("-id",)
    sortable_by = ("name", "created")
    actions = None
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["evaluations/evaluations.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        runs: RunQuerySet = super().get_queryset(request)  # type: ignore[assignment]
        return runs.with_counts().prefetch_related("jobs")

    @display(description="Status", ordering="status")
    def show_status(self, run: Run) -> SafeString:
        return status_pill(run.status, run.get_status_display())

    @display(description="Models")
    def show_models(self, run: Run) -> SafeString:
        return chips([job.model_name for job in run.jobs.all()])

    @display(description="Progress")
    def show_progress(self, run: Any) -> SafeString:
        return run_bar(run)

    @display(description="Failed")
    def show_failed(self, run: Any) -> SafeString | str:
        if not run.failed_count:
            return NONE
        address = reverse("admin:evaluations_result_changelist")
        return format_html('<a class="ev-bad" href="{}?run={}&status=failed">{}</a>', address, run.pk, run.failed_count)

    @display(description="Made", ordering="id")
    def created(self, run: Run) -> SafeString:
        made = timezone.localtime(run.created_at)
        parts = ((f"{made:%Y-%m-%d}",), (f"{made:%H:%M}",))
        return format_html_join(" ", '<span class="ev-num">{}</span>', parts)

    @display(description="Took")
    def took(self, run: Run) -> str:
        if run.started_at is None or run.finished_at is None:
            return NONE
        return duration((run.finished_at - run.started_at).total_seconds())

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, view: Any, name: str) -> URLPattern:
            pattern: URLPattern = path(route, self.admin_site.admin_view(view), name=f"evaluations_run_{name}")
            return pattern

        return [
            at("start/", self.start_view, "start"),
            at("start/models/", self.models_view, "start_models"),
            at("start/estimate/", self.estimate_view, "start_estimate"),
            at("<int:run_id>/live/", self.live_view, "live"),
            at("<int:run_id>/remote/", self.remote_view, "remote"),
            at("<int:run_id>/leaderboard/", self.leaderboard_view, "leaderboard"),
            at("<int:run_id>/cancel/", self.cancel_view, "cancel"),
            at("<int:run_id>/retry/", self.retry_view, "retry"),
            at("<int:run_id>/collect/", self.collect_view, "collect"),
            at("<int:run_id>/rescore/", self.rescore_view, "rescore"),
            *super().get_urls(),
        ]

    # --- Starting one ---------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return redirect("admin:evaluations_run_start")

    def _form(self, request: WorkspaceRequest, data: Any = None) -> StartForm:
        if request.access is None or not self.has_add_permission(request):
            raise PermissionDenied
        initial = {"dataset": request.GET.get("dataset")}
        return StartForm(data, workspace=request.access.workspace, initial=initial)

    def start_view(self, request: WorkspaceRequest) -> HttpResponse:
        form = self._form(request, request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                run = start_run(**form.cleaned_data, created_by=request.access.user if request.access else None)
                return redirect("admin:evaluations_run_change", run.pk)
            except EarshotError as error:
                add_error(form, error)
        head = {"title": "Start run", "content_title": "Start run", "model_admin": self, "opts": None}
        return self._page(request, "start", **head, form=form, groups=model_choices(form), estimate=estimate_of(form))

    def models_view(self, request: WorkspaceRequest) -> HttpResponse:
        return self._partial(request, "models", groups=model_choices(self._form(request, request.GET)))

    def estimate_view(self, request: WorkspaceRequest) -> HttpResponse:
        return self._partial(request, "estimate", estimate=estimate_of(self._form(request, request.GET)))

    # --- One run --------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        if run is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        board = board_context(run, request.GET.get("normalizer", ""))
        context = {**live_context(run), **board, **remote_context(run), **self._rights(request)}
        return self._page(request, "page", title=run.name, original=run, prompts=prompts_of(run), **context)

    def live_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._run(request, run_id)
        response = self._partial(request, "live", **live_context(run), **self._rights(request))
        if run.is_finished:
            response["HX-Trigger"] = "run-finished"
        return response

    def remote_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return self._partial(request, "remote", **remote_context(self._run(request, run_id)), **self._rights(request))

    def leaderboard_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._run(request, run_id)
        return self._partial(request, "leaderboard", **board_context(run), **self._rights(request))

    def cancel_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._run_to_change(request, run_id)
        if cancel_run(run=run):
            messages.success(request, "The run was cancelled. What was transcribed before is kept.")
        else:
            messages.warning(request, "The run had ended already: nothing was cancelled.")
        return redirect("admin:evaluations_run_change", run.pk)

    def retry_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._run_to_change(request, run_id)
        with errors_as_messages(request):
            retried = retry_failed(run=run)
            messages.success(request, f"{retried} failed result{'s are' if retried > 1 else ' is'} tried again.")
        return redirect("admin:evaluations_run_change", run.pk)

    def collect_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._run_to_change(request, run_id)
        with errors_as_messages(request):
            start_collecting(run=run)
            messages.success(request, "The kept result files are read again; what changes is seen here in a moment.")
        return redirect("admin:evaluations_run_change", run.pk)

    def rescore_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._run_to_change(request, run_id)
        normalizer = request.POST.get("normalizer", "")
        with errors_as_messages(request):
            start_rescore(run=run, normalizer=normalizer)
            messages.success(request, "The run is scored again. Load this page again in a moment to see it.")
        page = reverse("admin:evaluations_run_change", args=[run.pk])
        return redirect(f"{page}?{urlencode({'normalizer': normalizer})}")

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Replaces Django's view, which would load every result to list what is deleted with the run."""
        run = self.get_object(request, object_id)
        if run is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        if not self.has_delete_permission(request, run):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, "delete", title=f"Delete {run.name}", original=run, run=run)
        with errors_as_messages(request):
            delete_run(run=run)
            messages.success(request, f"The run “{run.name}” was deleted.")
            return redirect("admin:evaluations_run_changelist")
        return redirect("admin:evaluations_run_change", run.pk)

    # --- Shared ---------------------------------------------------------------------------------

    def _run(self, request: HttpRequest, run_id: int) -> Run:
        """The run, if it is of the workspace that the session is in; otherwise there is none."""
        return get_object_or_404(self.get_queryset(request), pk=run_id)

    def _run_to_change(self, request: HttpRequest, run_id: int) -> Run:
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        return self._run(request, run_id)

    def _rights(self, request: HttpRequest) -> dict[str, bool]:
        return {"may_change": self.has_change_permission(request), "may_delete": self.has_delete_permission(request)}

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, f"{TEMPLATES}/{name}.html", {**shared, **context})

    def _partial(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        return TemplateResponse(request, f"{TEMPLATES}/_{name}.html", context)
