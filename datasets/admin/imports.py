"""The screens of imports: how far each is, and which lines are bad."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin
from datasets.models import Import

PROBLEMS_A_PAGE = 100


def progress_of(parent: Import) -> dict[str, Any]:
    """What the page shows of an import."""
    return {
        "import": parent,
        "is_finished": parent.status in (Import.Status.COMPLETED, Import.Status.FAILED),
        "problems": parent.lines.exclude(problem="")[:PROBLEMS_A_PAGE],
        "problems_left": max(0, parent.bad - PROBLEMS_A_PAGE),
    }


@admin.register(Import)
class ImportAdmin(WorkspaceAdmin):
    """Imports begin on a dataset's page; nobody edits or deletes them."""

    add_role = None
    change_role = None
    delete_role = None
    list_display = ["source_name", "dataset", "status_label", "lines", "bad_lines", "created_by", "created_at"]
    list_filter = ["status", ("dataset", RelatedDropdownFilter)]
    list_filter_submit = True
    list_select_related = ["dataset", "created_by"]
    empty_text = "An import begins on the page of its dataset."
    search_fields = ["source_name"]
    actions = None
    fields = ["source_name", "dataset", "bad_lines", "created_at"]
    readonly_fields = ["bad_lines"]
    change_form_outer_before_template = "admin/datasets/import/live.html"

    def get_urls(self) -> list[URLPattern]:
        live = self.admin_site.admin_view(self.progress_view)
        return [path("<int:pk>/progress/", live, name="datasets_import_progress"), *super().get_urls()]

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that is asked for again until the import ends."""
        parent = self.get_queryset(request).filter(pk=pk).first()
        if parent is None:
            raise Http404
        return render(request, "admin/datasets/import/progress.html", progress_of(parent))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if parent := kwargs.get("obj"):
            context.update(progress_of(parent))
        return super().render_change_form(request, context, *args, **kwargs)

    @display(
        description="Status",
        ordering="status",
        label={"completed": "success", "failed": "danger", "running": "info", "pending": "warning"},
    )
    def status_label(self, parent: Import) -> str:
        return parent.status

    @display(description="Bad lines", ordering="skip_bad")
    def bad_lines(self, parent: Import) -> str:
        return "are left out" if parent.skip_bad else "refuse the import"

    @display(description="Lines")
    def lines(self, parent: Import) -> str:
        total = "?" if parent.total is None else f"{parent.total:,}"
        return f"{parent.done:,} of {total}" + (f", {parent.bad:,} bad" if parent.bad else "")
