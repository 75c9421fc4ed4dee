"""Authenticates REST requests by API key or signed-in session. Both set `request.access`."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied
from rest_framework.request import Request

from accounts.access import Access, access_of_user
from accounts.api_keys import access_of_key
from accounts.workspaces import access_of_session


def _set_access(request: Request, access: Access) -> Access:
    """Store the access on the request. Raises PermissionDenied (403) for a workspace that is switched off."""
    if not access.workspace.is_open:
        raise PermissionDenied("This workspace is switched off.")
    request._request.access = access  # type: ignore[attr-defined]
    return access


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <api key>`."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        parts = get_authorization_header(request).decode("latin-1").split()
        if not parts or parts[0].lower() != "bearer":
            return None
        access = access_of_key(parts[1]) if len(parts) == 2 else None
        if access is None:
            raise AuthenticationFailed("Invalid API key: it is unknown or revoked.")
        return (access.user or AnonymousUser(), _set_access(request, access))

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class WorkspaceSessionAuthentication(SessionAuthentication):
    """A signed-in session with CSRF; `X-Workspace: <slug>` says which workspace, where there are several."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        signed_in = super().authenticate(request)
        if signed_in is None:
            return None
        user, _ = signed_in
        slug = request.headers.get("X-Workspace")
        access = access_of_user(user, slug) if slug else access_of_session(request._request)
        if access is None:
            if slug:
                raise NotFound(f"There is no workspace {slug!r}.")
            raise PermissionDenied("You are not a member of any workspace.")
        return (user, _set_access(request, access))


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = WorkspaceSessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
