"""Limits the size of request bodies: by address, and for uploads also by the caller's access."""

import io
from collections.abc import Callable
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError, connection
from django.http import Http404, HttpResponse, QueryDict
from django.urls import ResolverMatch, resolve
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from starlette.types import Scope

from accounts.access import Access
from accounts.api.authentication import ApiKeyAuthentication, WorkspaceSessionAuthentication
from accounts.models import Role
from core.request_body import BodyLimit, Refusal
from core.text import id_in, unstorable_part
from datasets.models import Dataset

MB = 1024 * 1024
BODILESS_BYTES = 4 * 1024  # for methods without a body: some clients send one all the same
FORM_BYTES = MB  # of a form's other fields, besides its file
BODILESS_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
BODILESS_PATHS = ("/healthz", "/readyz")

# Route names of the addresses that take files, with the largest file in MB.
UPLOADS: dict[str, Callable[[], int]] = {
    "dataset-samples": lambda: settings.MAX_AUDIO_MB,
    "dataset-imports": lambda: settings.MAX_IMPORT_MB,
    "admin:datasets_dataset_import_file": lambda: settings.MAX_IMPORT_MB,
}


async def body_limit(scope: Scope, announced: int | None) -> BodyLimit:
    """Return the limit of a request's body. Uses the database only for uploads above the default limit."""
    path: str = scope["path"]
    if scope["method"] in BODILESS_METHODS or path in BODILESS_PATHS or path.startswith(settings.STATIC_URL):
        return BodyLimit(BODILESS_BYTES, Refusal(413, "This takes no body.", "too_large"))
    default_limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    match = _upload_address(scope) if announced is None or announced > default_limit else None
    if match is None:
        what = f"The request's body is larger than {default_limit / MB:g} MB, which is all that"
        return BodyLimit(default_limit, _too_large(what))
    async with ThreadSensitiveContext():
        refusal = await sync_to_async(_refusal_of_caller)(scope, match)
    if refusal is not None:
        return BodyLimit(default_limit, refusal)
    megabytes = UPLOADS[match.view_name]()
    return BodyLimit(megabytes * MB + FORM_BYTES, _too_large(f"The file is larger than the {megabytes} MB that"))


def _too_large(what: str) -> Refusal:
    return Refusal(413, f"{what} this address takes.", "too_large")


def _upload_address(scope: Scope) -> ResolverMatch | None:
    """Return the route of an upload; None where the address takes no files, or the body is no multipart form."""
    request = _without_body(scope)
    if request.method != "POST" or request.content_type != "multipart/form-data":
        return None
    try:
        match = resolve(request.path_info)
    except Http404:
        return None
    return match if match.view_name in UPLOADS else None


def _without_body(scope: Scope) -> ASGIRequest:
    request = ASGIRequest(scope, io.BytesIO())
    request.POST = QueryDict()
    return request


class _SessionWithoutCsrf(WorkspaceSessionAuthentication):
    """Leaves the CSRF check to the view, since the token may be in the body."""

    def enforce_csrf(self, request: Request) -> None:
        pass


def _refusal_of_caller(scope: Scope, match: ResolverMatch) -> Refusal | None:
    """Return why the caller may not upload there; None where they may. Closes its database connection."""
    try:
        return _check_caller(_without_body(scope), match)
    except DatabaseError:
        return Refusal(503, "The database does not answer. Try again.", "unavailable")
    finally:
        connection.close()


def _check_caller(request: Any, match: ResolverMatch) -> Refusal | None:
    if unstorable_part([*request.COOKIES.values()]):
        return Refusal(400, "A cookie holds what cannot be stored.", "invalid")
    SessionMiddleware(lambda request: HttpResponse()).process_request(request)
    request.user = get_user(request)
    by_key = [] if match.app_names else [ApiKeyAuthentication()]  # no page takes keys
    try:
        access = Request(request, authenticators=[*by_key, _SessionWithoutCsrf()]).auth
    except APIException as error:
        return Refusal(error.status_code, str(error.detail), str(error.get_codes()))
    if not isinstance(access, Access):
        return Refusal(401, "Only those who are signed in, or have an API key, may upload.", "not_authenticated")
    if not access.may(Role.EVALUATOR):
        needed = f"This takes the role {Role.EVALUATOR.value} in this workspace; yours is {access.role.value}."
        return Refusal(403, needed, "permission_denied")
    dataset_id = id_in(str(next(iter(match.kwargs.values()))))
    if not Dataset.objects.for_workspace(access.workspace).filter(pk=dataset_id).exists():
        return Refusal(404, "There is no such dataset.", "not_found")
    return None
