"""Base classes of admin pages: limited to the session's workspace, and to what the user's role allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import messages
from django.contrib.admin import RelatedFieldListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import PermissionDenied
from django.db.models import ForeignKey, ManyToManyField, Model, QuerySet
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin

from accounts.access import Access
from accounts.models import Role, User
from core.errors import EarshotError, Forbidden


def access_of(request: HttpRequest) -> Access | None:
    """Return the request's access; None without a workspace, or in one that is switched off."""
    access: Access | None = getattr(request, "access", None)
    return access if access and access.workspace.is_open else None


def rows_of(model: type[Model], request: HttpRequest) -> QuerySet[Any]:
    """Return the rows of `model` in the request's workspace; none of a model that belongs to no workspace."""
    access = access_of(request)
    rows = model._default_manager
    return rows.for_workspace(access.workspace) if access and hasattr(rows, "for_workspace") else rows.none()


@contextmanager
def errors_as_messages(request: HttpRequest) -> Iterator[None]:
    """Show an EarshotError as a message on the next page; answer Forbidden with 403."""
    try:
        yield
    except Forbidden as error:
        raise PermissionDenied(error.message) from error
    except EarshotError as error:
        messages.error(request, error.message)


def add_error(form: BaseForm, error: EarshotError) -> None:
    """Show an EarshotError beside the form field it names, or above the form."""
    form.add_error(error.field if error.field in form.fields else None, error.message)


class OwnRowsFilter(RelatedFieldListFilter):
    """A list filter by a relation that offers only the workspace's own rows."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        return [(row.pk, str(row)) for row in rows_of(field.related_model, request)]


class FilterLookupsAdmin(ModelAdmin):
    """Allows only the look-ups of a list's own filters: any other could read a hidden column letter by letter, or keep
    the database busy with a regular expression."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        filters = self.get_list_filter(request) if request else self.list_filter
        return any(lookup in self._parameters(declared) for declared in filters)

    def _parameters(self, declared: Any) -> set[str]:
        """Return the query parameters of a filter."""
        if isinstance(declared, type):
            name = declared.parameter_name  # type: ignore[attr-defined]
            return {name, f"{name}_from", f"{name}_to"}
        path = declared if isinstance(declared, str) else declared[0]
        field = get_fields_from_path(self.model, path)[-1]
        exact = f"{path}__{field.target_field.name}__exact" if isinstance(field, ForeignKey) else f"{path}__exact"
        return {exact, f"{path}__isnull"}


class WorkspaceAdmin(FilterLookupsAdmin):
    """Admin of a model whose QuerySet has `for_workspace`. Other workspaces' rows are in no list, filter, picker or
    autocomplete, and their ids answer as if they did not exist."""

    view_role = Role.VIEWER
    add_role: Role | None = Role.EVALUATOR
    change_role: Role | None = Role.EVALUATOR
    delete_role: Role | None = Role.EVALUATOR
    list_per_page = 50
    empty_text = ""  # shown by an empty list: where its rows come from

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows, ordering = rows_of(self.model, request), self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """As declared, but filters by a relation offer the workspace's own rows."""
        return [self._scoped(declared) for declared in super().get_list_filter(request)]

    def _scoped(self, declared: Any) -> Any:
        path, kind = declared if isinstance(declared, tuple) else (declared, RelatedFieldListFilter)
        if not isinstance(path, str) or not issubclass(kind, RelatedFieldListFilter):
            return declared
        if not get_fields_from_path(self.model, path)[-1].is_relation:
            return declared
        return (path, type(kind.__name__, (OwnRowsFilter, kind), {}))

    def formfield_for_foreignkey(self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", rows_of(db_field.remote_field.model, request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs.setdefault("queryset", rows_of(db_field.remote_field.model, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with errors_as_messages(request):
            return super().changeform_view(request, *args, **kwargs)
        return redirect(request.get_full_path())

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        with errors_as_messages(request):
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
            return response
        return redirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id]))

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


class SuperuserAdmin(FilterLookupsAdmin):
    """Admin of a model that belongs to the whole site, for superusers only. For others its rows do not exist: any id
    answers alike."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows if self.has_module_permission(request) else rows.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_active and request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)
