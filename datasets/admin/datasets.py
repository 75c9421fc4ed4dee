"""The screens of a dataset: its totals, its upload, its import, its export."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from unfold.decorators import action, display
from unfold.views import ChangeList

from accounts.admin_base import WorkspaceAdmin, access_of
from core.errors import EarshotError
from datasets import services
from datasets.admin.forms import DatasetForm, ImportForm
from datasets.export_response import export_response
from datasets.models import Dataset, Task
from datasets.templatetags.datasets import clock
from datasets.totals import with_totals


class DatasetChangeList(ChangeList):
    result_list: Any

    """Totals are made for the rows of the page only, so the list opens as quickly with a million samples."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = with_totals(self.result_list)


@admin.register(Dataset)
class DatasetAdmin(WorkspaceAdmin):
    form = DatasetForm
    list_display = ["name", "task", "language", "samples", "audio", "with_reference", "created_at"]
    list_filter = ["task", "language"]
    empty_text = "A dataset holds the samples that models are evaluated on."
    search_fields = ["name", "description"]
    actions = None
    fields = ["name", "task", "language", "description"]
    warn_unsaved_form = True
    change_form_outer_before_template = "admin/datasets/dataset/totals.html"
    actions_detail = [
        "upload",
        "import_file",
        {"title": "Export", "icon": "download", "items": ["export_csv", "export_jsonl", "export_zip"]},
        "show_samples",
        "start_run",
    ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DatasetChangeList

    def get_form(self, request: HttpRequest, obj: Dataset | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        access = access_of(request)
        return type("DatasetForm", (form,), {"workspace": access.workspace}) if access else form

    def get_readonly_fields(self, request: HttpRequest, obj: Dataset | None = None) -> list[str]:
        return ["task"] if obj else []  # its samples are of that task

    def save_model(self, request: HttpRequest, obj: Dataset, form: DatasetForm, change: bool) -> None:
        fields = form.cleaned_data
        if change:
            services.update_dataset(dataset=obj, **fields)
            return
        access = access_of(request)
        assert access is not None  # noqa: S101  (has_add_permission)
        obj.pk = services.create_dataset(workspace=access.workspace, created_by=access.user, **fields).pk

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if dataset := kwargs.get("obj"):
            with_totals([dataset])
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Deleting: by the service, which knows what stands in the way ------------------------------

    def get_deleted_objects(self, objs: QuerySet[Dataset], request: HttpRequest) -> Any:
        """Numbers, not the list of every sample."""
        totals = [dataset.totals.sample_count for dataset in with_totals(objs)]  # type: ignore[attr-defined]
        names = [f"{dataset} with {count} samples" for dataset, count in zip(objs, totals, strict=True)]
        return names, {"datasets": len(names), "samples": sum(totals)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Dataset) -> None:
        services.delete_dataset(dataset=obj)

    # --- Columns -----------------------------------------------------------------------------------

    @display(description="Samples")
    def samples(self, dataset: Any) -> str:
        return f"{dataset.totals.sample_count:,}"

    @display(description="Audio")
    def audio(self, dataset: Any) -> str:
        return clock(dataset.totals.audio_seconds)

    @display(description="With reference")
    def with_reference(self, dataset: Any) -> str | None:
        share = dataset.totals.reference_share
        return None if share is None else f"{share:.0%}"

    # --- Buttons -----------------------------------------------------------------------------------

    @action(description="Upload audio", url_path="upload", permissions=["upload"])
    def upload(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dataset = self._dataset(request, object_id)
        return self._page(request, dataset, "upload", title=f"Upload audio to {dataset}")

    @action(description="Import", url_path="import", permissions=["change"])
    def import_file(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dataset = self._dataset(request, object_id)
        form = ImportForm(request.POST or None, request.FILES or None)
        if form.is_valid() and (begun := self._begin_import(request, dataset, form)):
            return HttpResponseRedirect(reverse("admin:datasets_import_change", args=[begun]))
        return self._page(request, dataset, "import", title=f"Import into {dataset}", form=form)

    def _begin_import(self, request: HttpRequest, dataset: Dataset, form: ImportForm) -> int | None:
        """The new import's id; None where it was refused, which the form then says."""
        file = form.cleaned_data["file"]
        access = access_of(request)
        try:
            begun = services.start_import(
                dataset=dataset,
                file=file,
                filename=file.name,
                skip_bad=form.cleaned_data["skip_bad"],
                created_by=access.user if access else None,
            )
        except EarshotError as error:
            form.add_error("file", error.message)
            return None
        return begun.pk

    @action(description="CSV (references)", url_path="export/csv", permissions=["view"])
    def export_csv(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return export_response(request, self._dataset(request, object_id), "csv")

    @action(description="JSON lines (references)", url_path="export/jsonl", permissions=["view"])
    def export_jsonl(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return export_response(request, self._dataset(request, object_id), "jsonl")

    @action(description="ZIP (with the audio)", url_path="export/zip", permissions=["view"])
    def export_zip(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return export_response(request, self._dataset(request, object_id), "zip")

    @action(description="Samples", url_path="samples", permissions=["view"])
    def show_samples(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dataset = self._dataset(request, object_id)
        return HttpResponseRedirect(reverse("admin:datasets_sample_changelist") + f"?dataset__id__exact={dataset.pk}")

    @action(description="Start run", url_path="start-run", permissions=["change"])
    def start_run(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dataset = self._dataset(request, object_id)
        return HttpResponseRedirect(reverse("admin:evaluations_run_start") + f"?dataset={dataset.pk}")

    def has_upload_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Whether there is audio to upload: samples of text to speech are texts."""
        dataset = self.get_object(request, object_id) if object_id else None
        return dataset is not None and dataset.task == Task.STT and self.has_change_permission(request)

    def _dataset(self, request: HttpRequest, object_id: str) -> Dataset:
        dataset: Dataset | None = self.get_object(request, object_id)
        if dataset is None:
            raise Http404
        return dataset

    def _page(self, request: HttpRequest, dataset: Dataset, name: str, **context: Any) -> HttpResponse:
        context |= {**self.admin_site.each_context(request), "opts": self.opts, "original": dataset}
        return render(request, f"admin/datasets/dataset/{name}.html", context)
