"""What no page should have to look at: values in addresses, cookies and forms that no database takes."""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from core.text import unstorable_part


class StorableValuesMiddleware:
    """Answers 400 where an address, a cookie or an admin form holds a NUL or half a character."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """After CSRF has been checked. Bodies of the API are looked at by its parsers. Raises BadRequest."""
        match = request.resolver_match
        parts: list[Iterable[Any]] = [[request.path], request.GET.lists(), request.COOKIES.values()]
        if request.method == "POST" and match is not None and match.app_names[:1] == ["admin"]:
            parts.append(request.POST.lists())
        if part := unstorable_part([each for group in parts for each in group]):
            raise BadRequest(f"The request holds {part}, which cannot be stored.")
