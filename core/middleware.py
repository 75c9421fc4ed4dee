"""Middleware: refuses values that no database can store, and sets security headers."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from core.text import unstorable_part


class StorableValuesMiddleware:
    """Answers 400 if a URL, a cookie or an admin form contains NUL or a lone surrogate."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Check the form, after the CSRF check. The API's parsers check its bodies. Raises BadRequest."""
        match = request.resolver_match
        parts: list[Iterable[Any]] = [[request.path], request.GET.lists(), request.COOKIES.values()]
        if request.method == "POST" and match is not None and match.app_names[:1] == ["admin"]:
            parts.append(request.POST.lists())
        if part := unstorable_part([each for group in parts for each in group]):
            raise BadRequest(f"The request holds {part}, which cannot be stored.")


class BrowserPolicyMiddleware:
    """Sets `Content-Security-Policy` and `Permissions-Policy`, unless a page has set its own.

    Scripts come from files of this site alone: there is none inside a page, so that none needs a nonce to be let in.
    Styles inside pages stay allowed: the admin's own templates, htmx and the waveform write them. What is no page loads
    nothing.
    """

    PAGE: ClassVar[dict[str, str]] = {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
    PERMISSIONS = (
        "accelerometer",
        "camera",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "payment",
        "usb",
    )

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault("Content-Security-Policy", self._policy(request) if is_page else self.NO_PAGE)
        response.headers.setdefault("Permissions-Policy", permissions_policy())
        return response

    def _policy(self, request: HttpRequest) -> str:
        policy = {**self.PAGE, "media-src": " ".join(["'self'", *settings.AUDIO_ORIGINS])}
        if request.path.startswith(reverse("admin:index")):
            policy["script-src"] += " 'unsafe-eval'"  # needed by Alpine, which the admin's templates use
        return "; ".join(f"{name} {sources}" for name, sources in policy.items())


def permissions_policy(*, microphone: bool = False) -> str:
    """Return the header's value: it allows no feature, or only the microphone."""
    allowed = {"microphone"} if microphone else set()
    return ", ".join(f"{name}=({'self' if name in allowed else ''})" for name in BrowserPolicyMiddleware.PERMISSIONS)
