"""Sets the access of each admin request, and refuses staff without a usable workspace."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.access import Access
from accounts.models import User, Workspace
from accounts.workspaces import access_of_session

# Pages that are open without a usable workspace: to sign out, and to switch to another one.
OPEN_TO_ALL = {"login", "logout", "password_change", "password_change_done", "jsi18n", "accounts_workspace_switch"}


class WorkspaceMiddleware:
    """Sets `request.access` (an `Access` or None) on admin pages; in REST the authentication classes do.

    Staff without a workspace, or in one that is switched off, get a 403 page that says so. Superusers pass, since they
    can change that.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.access = None  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.app_names[:1] != ["admin"] or not admin.site.has_permission(request):
            return None
        access = access_of_session(request)
        request.access = access  # type: ignore[attr-defined]
        if match.url_name in OPEN_TO_ALL or (access and access.workspace.is_open) or self._is_superuser(request):
            return None
        return _no_workspace(request, access)

    @staticmethod
    def _is_superuser(request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_superuser


def _no_workspace(request: HttpRequest, access: Access | None) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "No workspace",
        "access": access,
        "workspaces": Workspace.objects.open_to(request.user).active() if isinstance(request.user, User) else [],
    }
    return TemplateResponse(request, "accounts/no_workspace.html", context, status=403)
