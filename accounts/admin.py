"""Admin pages of users, organizations, workspaces, members and API keys."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.admin_base import SuperuserAdmin, WorkspaceAdmin, access_of
from accounts.forms import MemberForm, NewApiKeyForm, NewMemberForm
from accounts.models import ApiKey, Membership, Organization, Role, User, Workspace
from accounts.services import (
    add_member,
    change_role,
    create_api_key,
    is_last_owner,
    limit_api_key,
    remove_member,
    revoke_api_key,
    update_user,
)
from accounts.workspaces import switch_workspace

admin.site.unregister(Group)  # roles say what people may do, not groups


@admin.register(User)
class UserAdmin(SuperuserAdmin, DjangoUserAdmin):  # type: ignore[type-arg]  # generic in its stub only
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    filter_horizontal = ()
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password", "first_name", "last_name", "email"]}),
        ("May", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("When", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["username", "email", "usable_password", "password1", "password2", "is_staff"]}),
    ]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            update_user(user=obj)
        else:
            obj.save()


@admin.register(Organization)
class OrganizationAdmin(SuperuserAdmin):
    list_display = ["name", "is_active"]
    search_fields = ["name"]


@admin.register(Workspace)
class WorkspaceModelAdmin(SuperuserAdmin):
    list_display = ["name", "slug", "organization", "is_active"]
    list_filter = ["is_active", "organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    exclude = ["members"]

    def get_urls(self) -> list[URLPattern]:
        switch = self.admin_site.admin_view(self.switch_view)
        return [path("switch/", switch, name="accounts_workspace_switch"), *super().get_urls()]

    def switch_view(self, request: HttpRequest) -> HttpResponse:
        """GET: list the workspaces that the user can switch to. POST `workspace`: switch to it."""
        if request.method == "POST":
            if switch_workspace(request, request.POST.get("workspace", "")):
                return HttpResponseRedirect(reverse("admin:index"))
            messages.error(request, "There is no such workspace.")
        workspaces = Workspace.objects.open_to(request.user).active() if isinstance(request.user, User) else []
        context = {
            **self.admin_site.each_context(request),
            "title": "Switch workspace",
            "workspaces": workspaces,
            "access": access_of(request),
        }
        return TemplateResponse(request, "accounts/switch_workspace.html", context)


@admin.register(Membership)
class MembershipAdmin(WorkspaceAdmin):
    view_role = add_role = change_role = delete_role = Role.OWNER
    list_display = ["user", "email", "role"]
    list_filter = ["role"]
    list_select_related = ["user"]
    search_fields = ["user__username", "user__email"]
    actions = None  # one at a time: the last owner stays

    @admin.display(description="Email")
    def email(self, membership: Membership) -> str:
        return membership.user.email

    def get_form(self, request: HttpRequest, obj: Membership | None = None, **kwargs: Any) -> Any:
        if obj:
            return super().get_form(request, obj, **{**kwargs, "form": MemberForm})
        form = super().get_form(request, obj, **{**kwargs, "form": NewMemberForm})
        access = access_of(request)
        form.workspace = access.workspace if access else None
        form.finds_everybody = request.user.is_superuser
        return form

    def get_fields(self, request: HttpRequest, obj: Membership | None = None) -> list[str]:
        return ["user", "role"] if obj else ["name", "role"]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> list[str]:
        return ["user"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and is_last_owner(obj))

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if change:
            change_role(membership=obj, role=Role(obj.role))
        else:
            added = add_member(workspace=form.workspace, user=obj.user, role=Role(obj.role))
            obj.pk = added.pk

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        remove_member(membership=obj)


@admin.register(ApiKey)
class ApiKeyAdmin(WorkspaceAdmin):
    """Keys are created and revoked, never deleted; only the limit of an existing key can be changed."""

    view_role = add_role = change_role = Role.OWNER
    delete_role = None
    list_display = ["name", "starts_with", "role", "limit", "created_by", "created_at", "last_used_at", "revoked_at"]
    list_filter = ["role"]
    list_select_related = ["created_by"]
    empty_text = "Whatever calls REST or the gateway needs a key. Make one."
    search_fields = ["name", "prefix"]
    readonly_fields = ["name", "starts_with", "role", "created_by", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]

    @admin.display(description="Starts with", ordering="prefix")
    def starts_with(self, api_key: ApiKey) -> str:
        return f"{api_key.prefix}…"

    @admin.display(description="Calls a minute", ordering="requests_per_minute", empty_value="the site's limit")
    def limit(self, api_key: ApiKey) -> int | None:
        return api_key.requests_per_minute

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return ["requests_per_minute", *self.readonly_fields] if obj else ["name", "role", "requests_per_minute"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.readonly_fields if obj else []

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, **kwargs: Any) -> Any:
        if obj:
            return super().get_form(request, obj, **kwargs)
        form = super().get_form(request, obj, **{**kwargs, "form": NewApiKeyForm})
        access = access_of(request)
        if access:
            form.role_of_maker = access.role
        return form

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description="Revoke the ticked keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = sum(revoke_api_key(api_key=api_key) for api_key in keys)
        self.message_user(request, f"{revoked} revoked: whoever uses one is refused, the gateway's callers in seconds.")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            limit_api_key(api_key=obj, requests_per_minute=obj.requests_per_minute)
            return
        access = access_of(request)
        assert access  # noqa: S101  (who may add has one)
        made, secret = create_api_key(
            workspace=access.workspace,
            name=obj.name,
            role=Role(obj.role),
            created_by=access.user,
            requests_per_minute=obj.requests_per_minute,
        )
        obj.pk, obj.prefix = made.pk, made.prefix
        request.api_key_secret = secret  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key's secret: only in this response, which is not cached (the admin sends no-store)."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Your new API key",
            "opts": self.opts,
            "api_key": obj,
            "secret": request.api_key_secret,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "accounts/api_key_created.html", context)
