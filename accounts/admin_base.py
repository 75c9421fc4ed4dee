"""What every admin page of a workspace shares: it shows that workspace only, and does what the role allows."""

from typing import Any

from django.contrib import admin
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.access import Access
from accounts.models import Role


def access_of(request: HttpRequest) -> Access | None:
    """Who is asking; None without a workspace, or in one that is switched off."""
    access: Access | None = getattr(request, "access", None)
    if not access or not (access.workspace.is_active and access.workspace.organization.is_active):
        return None
    return access


class WorkspaceAdmin(ModelAdmin):
    """A model whose QuerySet has `for_workspace`. Another workspace's rows are not there: not in lists, filters,
    pickers or autocompletes, and their ids answer as ids that do not exist."""

    view_role = Role.VIEWER
    add_role: Role | None = Role.EVALUATOR
    change_role: Role | None = Role.EVALUATOR
    delete_role: Role | None = Role.EVALUATOR
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        access = access_of(request)
        rows = self.model._default_manager
        return rows.for_workspace(access.workspace) if access else rows.none()

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        related = admin.site._registry.get(db_field.remote_field.model)
        if isinstance(related, WorkspaceAdmin):
            kwargs.setdefault("queryset", related.get_queryset(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _allowed(self, request: HttpRequest, role: Role | None) -> bool:
        access = access_of(request)
        return bool(role and access and access.may(role))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._allowed(request, self.view_role)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.view_role)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._allowed(request, self.add_role)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.change_role)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._allowed(request, self.delete_role)
