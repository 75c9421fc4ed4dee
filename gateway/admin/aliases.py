"""Model aliases, with their models in order."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin, access_of, rows_of
from accounts.models import Role, Workspace
from core.forms import ModelForm
from gateway.models import AliasTarget, ModelAlias
from gateway.services import problem_of_targets
from providers.models import SpeechModel


class AliasForm(ModelForm[ModelAlias]):
    workspace: Workspace  # set by the admin, for the one who asks

    class Meta:
        model = ModelAlias
        fields = ["name", "strategy"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.workspace_id is None:
            self.instance.workspace = self.workspace

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ModelAlias.objects.for_workspace(self.workspace).filter(name=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError(f"There is an alias {name!r} already.")
        return name


class TargetFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # generic in its stub only
    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form.cleaned_data for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        models = [data["model"] for data in kept if data.get("model")]
        if problem := problem_of_targets(self.instance.workspace, models):
            raise ValidationError(problem)


class TargetInline(TabularInline):
    model = AliasTarget
    formset = TargetFormSet
    fields = ["model", "weight", "position"]
    ordering_field = "position"
    hide_ordering_field = True
    extra = 1
    tab = False
    verbose_name = "model"
    verbose_name_plural = "Models, in the order in which they are tried"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = rows_of(SpeechModel, request).select_related("provider")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        access = access_of(request)
        return bool(access and access.may(ModelAliasAdmin.view_role))

    def _is_owner(self, request: HttpRequest) -> bool:
        access = access_of(request)
        return bool(access and access.may(Role.OWNER))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_owner(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_owner(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_owner(request)


@admin.register(ModelAlias)
class ModelAliasAdmin(WorkspaceAdmin):
    form = AliasForm
    view_role = Role.VIEWER
    add_role = change_role = delete_role = Role.OWNER
    list_display = ["name", "strategy", "models"]
    empty_text = "Without an alias, clients ask for models by their own names."
    search_fields = ["name"]
    fields = ["name", "strategy"]
    inlines = [TargetInline]
    list_before_template = "admin/gateway/modelalias/_about.html"

    class Media:
        css = {"all": ["gateway/gateway.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelAlias]:
        rows: Any = super().get_queryset(request)
        with_targets: QuerySet[ModelAlias] = rows.with_targets()
        return with_targets

    def get_form(self, request: HttpRequest, obj: ModelAlias | None = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        access = access_of(request)
        if access:
            form.workspace = access.workspace
        return form

    @display(description="Models")
    def models(self, alias: ModelAlias) -> str:
        weighted = alias.strategy == ModelAlias.Strategy.WEIGHTED
        targets = alias.targets.all()
        return ", ".join(f"{each} ({each.weight})" if weighted else str(each) for each in targets)
