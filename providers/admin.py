"""The screens of providers, their models and prices. Owners change them; other members look."""

from collections import defaultdict
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import action, display

from accounts.admin_base import WorkspaceAdmin, access_of
from accounts.models import Role
from core.errors import EarshotError
from providers import model_services, services
from providers.adapters.kinds import KindInfo
from providers.capabilities import TASK_NAMES, lists_models, streamed_tasks, tasks_of_kind
from providers.connection_test import check_up
from providers.forms import ProviderForm, SpeechModelForm
from providers.limits import why_waiting
from providers.model_listing import upstream_models
from providers.models import Price, Provider, SpeechModel
from providers.registry import KINDS


class OwnersChange(WorkspaceAdmin):
    add_role = change_role = delete_role = Role.OWNER
    actions = None


@admin.register(Provider)
class ProviderAdmin(OwnersChange):
    form = ProviderForm
    list_display = ["name", "kind_label", "model_list", "credential_state", "call_limits", "state", "in_use"]
    list_filter = ["is_active"]
    search_fields = ["name"]
    actions_detail = ["test_connection", "sync_models"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        with_models: QuerySet[Any] = rows.with_models()
        return with_models

    # --- The form of a kind -------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """First the kind is chosen, then its form is filled in."""
        kind = _asked_kind(request)
        if kind in KINDS:
            return super().add_view(request, form_url, {**(extra_context or {}), "title": f"Add {_label(kind)}"})
        if not self.has_add_permission(request):
            raise PermissionDenied
        kinds = sorted(((kind, adapter.info) for kind, adapter in KINDS.items()), key=lambda entry: entry[1].label)
        head = {"content_title": "Add provider", "model_admin": self, "opts": None}
        return self._page(request, "choose_kind", title="Which kind of provider?", kinds=kinds, **head)

    def get_form(self, request: HttpRequest, obj: Provider | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        access = access_of(request)
        own = {
            "workspace": access.workspace if access else None,
            "info": _info(obj.kind if obj else _asked_kind(request)),
        }
        return type("ProviderForm", (form,), own)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        kind = _asked_kind(request)
        return {"kind": kind, "name": kind.replace("_", "-")}

    def get_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        info = _info(obj.kind if obj else _asked_kind(request))
        address = [] if info.address == "none" else ["base_url"]
        credential = []
        if info.credential != "none":
            credential = ["credential_state"] if obj else ["credential"]
            if obj and self.has_change_permission(request, obj):
                credential += ["credential", "remove_credential"] if obj.has_credential else ["credential"]
        kind = [] if obj else ["kind"]  # hidden: it was chosen before
        limits = ["max_concurrency", "requests_per_minute", "is_active"]
        now = ["state", "model_links"] if obj else []
        return ["name", *kind, *now, *address, *credential, *limits]

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        info = _info(obj.kind if obj else _asked_kind(request))
        return [(info.label, {"fields": self.get_fields(request, obj), "description": info.help})]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        return ["credential_state", "state", "model_links"] if obj else []

    def save_model(self, request: HttpRequest, obj: Provider, form: ProviderForm, change: bool) -> None:
        if change:
            services.update_provider(provider=Provider.objects.get(pk=obj.pk), **form.settings())
            return
        made = services.create_provider(workspace=form.workspace, kind=obj.kind, **form.settings())
        obj.pk = made.pk

    def response_add(self, request: HttpRequest, obj: Provider, post_url_continue: str | None = None) -> HttpResponse:
        """To where it can be tried."""
        messages.success(request, f"{obj} is added with {obj.models.count()} models. Test its connection next.")
        return HttpResponseRedirect(reverse("admin:providers_provider_change", args=[obj.pk]))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with it, without the rows that nobody made by hand; what runs recorded stays."""
        _, counts, *rest = super().get_deleted_objects(objs, request)
        names = [name for provider in objs for name in (str(provider), *provider.model_names)]
        return names, {name: count for name, count in counts.items() if name not in ("gates", "slot leases")}, *rest

    def delete_model(self, request: HttpRequest, obj: Provider) -> None:
        services.delete_provider(provider=obj)

    # --- Columns -----------------------------------------------------------------------------------

    @display(description="Kind", ordering="kind")
    def kind_label(self, provider: Provider) -> str:
        return _label(provider.kind)

    @display(description="Limits")
    def call_limits(self, provider: Provider) -> str:
        a_minute = f", {provider.requests_per_minute} a minute" if provider.requests_per_minute else ""
        return f"{provider.max_concurrency} at once{a_minute}"

    @display(description="Calls now")
    def state(self, provider: Provider) -> str:
        if not provider.is_active:
            return "none: switched off"
        return why_waiting(provider) or "get through"

    @display(description="In use", boolean=True, ordering="is_active")
    def in_use(self, provider: Provider) -> bool:
        return provider.is_active

    @display(description="Models")
    def model_list(self, provider: Provider) -> str:
        names = [model.name for model in provider.models.all()]
        return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")

    @display(description="Models", empty_value="none yet: sync or add them")
    def model_links(self, provider: Provider) -> SafeString | None:
        links = (
            (reverse("admin:providers_speechmodel_change", args=[model.pk]), model.name)
            for model in provider.models.all()
        )
        return format_html_join(", ", '<a class="text-link" href="{}">{}</a>', links) or None

    @display(description="Key")
    def credential_state(self, provider: Provider) -> str:
        wanted = _info(provider.kind).credential
        if wanted == "none":
            return "not needed"
        if provider.has_credential:
            return "stored"
        return "none" if wanted == "optional" else "missing" if provider.base_url else "the site's own"

    # --- Buttons -----------------------------------------------------------------------------------

    @action(description="Test connection", url_path="test", permissions=["change"])
    def test_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST really calls the provider and shows what came of it."""
        provider = self._provider(request, object_id)
        checkup = check_up(provider) if request.method == "POST" else None
        return self._page(request, "test", title=f"Test {provider}", original=provider, checkup=checkup)

    @action(description="Sync models", url_path="sync", permissions=["sync"])
    def sync_models(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks the provider what it offers, POST adds what was ticked."""
        provider, fault = self._provider(request, object_id), ""
        if request.method == "POST":
            try:
                added = model_services.sync_models(provider=provider, chosen=_ticked(request))
            except EarshotError as error:
                fault = error.message
            else:
                return self._synced(request, provider, added)
        return self._page(
            request,
            "sync",
            title=f"Models of {provider}",
            original=provider,
            upstream=upstream_models(provider),
            tasks=[(task, TASK_NAMES[task]) for task in tasks_of_kind(provider.kind)],
            ticked=_ticked(request),
            fault=fault,
        )

    def has_sync_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Only of kinds that say which models they offer."""
        provider = self.get_object(request, object_id) if object_id else None
        return provider is not None and lists_models(provider.kind) and self.has_change_permission(request)

    def _synced(self, request: HttpRequest, provider: Provider, added: list[SpeechModel]) -> HttpResponse:
        if not added:
            messages.info(request, "Nothing was ticked: no model was added.")
            return HttpResponseRedirect(reverse("admin:providers_provider_change", args=[provider.pk]))
        names = ", ".join(model.name for model in added)
        messages.success(request, f"Added {names}. What they cost is unknown until you enter their prices.")
        return HttpResponseRedirect(
            f"{reverse('admin:providers_speechmodel_changelist')}?provider__id__exact={provider.pk}"
        )

    def _provider(self, request: HttpRequest, object_id: str) -> Provider:
        provider: Provider | None = self.get_object(request, object_id)
        if provider is None:
            raise Http404
        return provider

    def _page(self, request: HttpRequest, page: str, **context: Any) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return render(request, f"admin/providers/provider/{page}.html", context)


def _asked_kind(request: HttpRequest) -> str:
    return request.POST.get("kind") or request.GET.get("kind") or ""


def _info(kind: str) -> KindInfo:
    return KINDS[kind].info if kind in KINDS else KindInfo(label=kind)


def _label(kind: str) -> str:
    return _info(kind).label


def _ticked(request: HttpRequest) -> dict[str, list[str]]:
    """Upstream name -> the tasks that were ticked for it."""
    ticked: dict[str, list[str]] = defaultdict(list)
    for task in TASK_NAMES:
        for name in request.POST.getlist(task):
            ticked[name].append(task)
    return dict(ticked)


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
    list_display = ["public_name", "task_list", "mode_list", "time_list", "limit_list", "price_today", "in_use"]
    list_filter = ["speech_to_text", "text_to_speech", "chat", "translation", "is_active", "provider"]
    list_select_related = ["provider"]
    fieldsets = [
        (None, {"fields": ["provider", "name", "upstream_name", "is_active"]}),
        ("What it does", {"fields": ["speech_to_text", "text_to_speech", "chat", "translation"]}),
        ("How it is asked", {"fields": ["supports_direct", "supports_batch", "word_times", "segment_times"]}),
        ("Limits", {"fields": ["languages", "max_audio_seconds", "max_audio_bytes", "options"]}),
    ]
    search_fields = ["name", "upstream_name", "provider__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        with_prices: QuerySet[Any] = rows.with_prices()
        return with_prices

    def get_readonly_fields(self, request: HttpRequest, obj: SpeechModel | None = None) -> list[str]:
        return ["provider"] if obj else []

    @display(description="Model", ordering="name")
    def public_name(self, model: SpeechModel) -> str:
        return model.public_name

    @display(description="Tasks")
    def task_list(self, model: SpeechModel) -> str:
        streamed = streamed_tasks(model)
        return ", ".join(f"{TASK_NAMES[task]}{' (streams)' if task in streamed else ''}" for task in model.tasks)

    @display(description="Modes")
    def mode_list(self, model: SpeechModel) -> str:
        return ", ".join(model.modes)

    @display(description="Times of")
    def time_list(self, model: SpeechModel) -> str | None:
        return ", ".join(model.times) or None

    @display(description="Limits")
    def limit_list(self, model: SpeechModel) -> str | None:
        return "; ".join(model.limits) or None

    @display(description="Price today")
    def price_today(self, model: SpeechModel) -> str:
        return "; ".join(map(str, model.prices_on(timezone.localdate()))) or "unknown"

    @display(description="In use", boolean=True)
    def in_use(self, model: SpeechModel) -> bool:
        return model.is_active and model.provider.is_active
