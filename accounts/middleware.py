"""Who is asking, on every request of a session."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from accounts.workspaces import access_of_session


class WorkspaceMiddleware:
    """Sets `request.access` (an `Access` or None), looked up only where something reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.access = SimpleLazyObject(lambda: access_of_session(request))  # type: ignore[attr-defined]
        return self.get_response(request)
