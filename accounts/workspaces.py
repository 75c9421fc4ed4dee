"""The workspace that a signed-in session works in, and how it is switched."""

from django.http import HttpRequest

from accounts.access import Access, access_of_user
from accounts.models import User

SESSION_KEY = "workspace"


class WorkspaceRequest(HttpRequest):
    """A request that has passed `WorkspaceMiddleware` (for types only)."""

    access: Access | None


def access_of_session(request: HttpRequest) -> Access | None:
    """Return the access of the signed-in user to the workspace they switched to, or else to their first."""
    if not isinstance(request.user, User):
        return None
    slug = request.session.get(SESSION_KEY)
    access = access_of_user(request.user, slug) if slug else None
    return access or access_of_user(request.user)


def switch_workspace(request: HttpRequest, slug: str) -> bool:
    """Put the session into workspace `slug`. False where the user has no such workspace."""
    if not isinstance(request.user, User) or access_of_user(request.user, slug) is None:
        return False
    request.session[SESSION_KEY] = slug
    return True


def current_workspace_badge(request: HttpRequest) -> list[str] | None:
    """Unfold's environment badge: the name of the workspace that the admin shows."""
    access: Access | None = getattr(request, "access", None)
    if access is None:
        return None
    name = access.workspace.name
    return [name, "info"] if access.workspace.is_open else [f"{name} (switched off)", "danger"]
