"""The screens of providers, their models and prices. Owners change them; other members look."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.decorators import action, display

from accounts.admin_base import WorkspaceAdmin, access_of
from accounts.models import Role
from providers import services
from providers.checkup import check_up
from providers.forms import ProviderForm, SpeechModelForm
from providers.models import Price, Provider, SpeechModel
from providers.registry import embedded_kinds


class OwnersChange(WorkspaceAdmin):
    add_role = change_role = delete_role = Role.OWNER
    actions = None


@admin.register(Provider)
class ProviderAdmin(OwnersChange):
    form = ProviderForm
    list_display = ["name", "kind", "model_list", "credential_stored", "max_concurrency", "is_active"]
    list_filter = ["is_active"]
    search_fields = ["name"]
    actions_detail = ["test_connection"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        return rows.with_models()

    def get_form(self, request: HttpRequest, obj: Provider | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        access = access_of(request)
        return type("ProviderForm", (form,), {"workspace": access.workspace}) if access else form

    def get_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        access = ["base_url", "credential"]
        if obj:
            access = [] if obj.kind in embedded_kinds() else ["base_url", "credential_stored"]
            if access and self.has_change_permission(request, obj):
                access += ["credential", "remove_credential"] if obj.has_credential else ["credential"]
        return ["name", "kind", *access, "max_concurrency", "requests_per_minute", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        return ["kind", "credential_stored"] if obj else []

    def save_model(self, request: HttpRequest, obj: Provider, form: ProviderForm, change: bool) -> None:
        if change:
            services.update_provider(provider=Provider.objects.get(pk=obj.pk), **form.settings())
            return
        made = services.create_provider(workspace=form.workspace, kind=obj.kind, **form.settings())
        obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: Provider) -> None:
        services.delete_provider(provider=obj)

    @display(description="Models")
    def model_list(self, provider: Provider) -> str:
        return ", ".join(model.name for model in provider.models.all())

    @display(description="Credential stored", boolean=True)
    def credential_stored(self, provider: Provider) -> bool | None:
        """None: it needs none."""
        return None if provider.kind in embedded_kinds() else provider.has_credential

    @action(description="Test connection", url_path="test", permissions=["change"])
    def test_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST really calls the provider's models and shows what came of it."""
        provider = self.get_object(request, object_id)
        if provider is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": provider,
            "title": f"Test {provider}",
            "checkup": check_up(provider) if request.method == "POST" else None,
        }
        return render(request, "admin/providers/provider/test.html", context)


class PriceInline(TabularInline):
    model = Price
    extra = 0
    verbose_name_plural = "Prices: the latest that has begun holds; none means that the cost is unknown"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, Role.VIEWER)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, Role.OWNER)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, Role.OWNER)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, Role.OWNER)


def _may(request: HttpRequest, role: Role) -> bool:
    access = access_of(request)
    return bool(access and access.may(role))


@admin.register(SpeechModel)
class SpeechModelAdmin(OwnersChange):
    form = SpeechModelForm
    inlines = [PriceInline]
    list_display = ["public_name", "task_list", "mode_list", "price_today", "is_active"]
    list_filter = ["speech_to_text", "text_to_speech", "is_active", "provider"]
    list_select_related = ["provider"]
    fields = SpeechModelForm.Meta.fields
    search_fields = ["name", "upstream_name", "provider__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        return rows.with_prices()

    def get_readonly_fields(self, request: HttpRequest, obj: SpeechModel | None = None) -> list[str]:
        return ["provider"] if obj else []

    @display(description="Model", ordering="name")
    def public_name(self, model: SpeechModel) -> str:
        return model.public_name

    @display(description="Tasks")
    def task_list(self, model: SpeechModel) -> str:
        return ", ".join(model.tasks)

    @display(description="Modes")
    def mode_list(self, model: SpeechModel) -> str:
        return ", ".join(model.modes)

    @display(description="Price today")
    def price_today(self, model: SpeechModel) -> str:
        return "; ".join(map(str, model.prices_on(timezone.localdate()))) or "unknown"
