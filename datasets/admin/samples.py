"""The screens of samples: a list that plays, and one sample with its waveform and its reference."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import RelatedDropdownFilter, TextFilter
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin, access_of
from accounts.models import Role
from core.admin_paging import NoCountMixin
from datasets import services
from datasets.models import Sample, SampleQuerySet
from datasets.templatetags.datasets import clock


class LanguageFilter(TextFilter):
    title = "language"
    parameter_name = "language"

    def queryset(self, request: HttpRequest, queryset: SampleQuerySet) -> SampleQuerySet:
        return queryset.spoken_in(self.value()) if self.value() else queryset


class ReferenceFilter(admin.SimpleListFilter):
    title = "reference"
    parameter_name = "has_reference"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Known"), ("no", "Unknown")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Sample]) -> QuerySet[Sample]:
        return queryset.filter(reference__isnull=self.value() == "no") if self.value() else queryset


@admin.register(Sample)
class SampleAdmin(NoCountMixin, WorkspaceAdmin):
    """Samples come by upload, import or REST; of one that is there the reference and language are edited in place."""

    add_role = None
    change_role = None
    list_display = ["key", "dataset", "duration", "rate", "codec", "short_reference", "player"]
    list_filter = [("dataset", RelatedDropdownFilter), ReferenceFilter, "is_duplicate", LanguageFilter]
    list_filter_submit = True
    search_fields = ["key"]
    search_help_text = "Search by key"
    empty_text = "Samples come by uploading or importing them, on the page of their dataset."
    ordering = ["-id"]
    actions = None
    change_form_outer_before_template = "admin/datasets/sample/listen.html"
    change_form_outer_after_template = "admin/datasets/sample/facts.html"

    class Media:
        css = {"all": ["datasets/datasets.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sample]:
        samples: Any = super().get_queryset(request)
        shown: QuerySet[Sample] = samples.with_audio_facts().select_related("dataset")
        return shown

    def get_fields(self, request: HttpRequest, obj: Sample | None = None) -> list[str]:
        text = ["text"] if obj and obj.text else []
        return ["dataset", "key", *text, "tags", "created_at"]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        access = access_of(request)
        context["may_edit"] = bool(access and access.may(Role.EVALUATOR))
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Deleting: by the service, which knows what stands in the way ------------------------------

    def get_deleted_objects(self, objs: QuerySet[Sample], request: HttpRequest) -> Any:
        names = [str(sample) for sample in objs]
        return names, {"samples": len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Sample) -> None:
        services.delete_sample(sample=obj)

    # --- Columns -----------------------------------------------------------------------------------

    @display(description="Duration")
    def duration(self, sample: Sample) -> str | None:
        return clock(sample.audio.duration) if sample.audio else None

    @display(description="Rate")
    def rate(self, sample: Sample) -> str | None:
        return f"{sample.audio.sample_rate:,} Hz" if sample.audio else None

    @display(description="Codec")
    def codec(self, sample: Sample) -> str | None:
        return sample.audio.codec if sample.audio else None

    @display(description="Reference", empty_value="unknown")
    def short_reference(self, sample: Sample) -> str | None:
        if not sample.reference:
            return "(nothing is said)" if sample.reference == "" else None
        return Truncator(sample.reference).chars(60)

    @display(description="Listen")
    def player(self, sample: Sample) -> SafeString | None:
        if sample.audio_id is None:
            return None
        url = reverse("sample-audio", args=[sample.pk])
        return format_html(
            '<audio class="list-audio" controls preload="none" src="{}" aria-label="{}"></audio>', url, sample.key
        )
