"""Errors of the REST API, in the shape of problem details (RFC 9457)."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from core.errors import EarshotError

CONTENT_TYPE = "application/problem+json"


def problem(status: int, detail: str, *, code: str = "invalid", errors: Any = ()) -> dict[str, Any]:
    """Return the body of an error: `{"type", "title", "status", "detail", "errors": [{"field", "message"}]}`."""
    return {
        "type": f"urn:earshot:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": list(errors),
    }


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to a client's error; None for all others, which are logged and become a 500."""
    if isinstance(error, EarshotError):
        set_rollback()
        return _refused(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flatten(error.detail))
        detail = "; ".join(_sentence(each) for each in errors[:3])
        response.data = problem(response.status_code, detail, errors=errors)
    else:
        response.data = problem(response.status_code, str(error.detail), code=str(error.get_codes()))
    response.content_type = CONTENT_TYPE
    return response


def _refused(error: EarshotError) -> Response:
    at_fault = [] if error.field is None else [{"field": error.field, "message": error.message}]
    detail = _sentence(at_fault[0]) if at_fault else error.message
    body = problem(error.status, detail, code=error.code, errors=at_fault)
    return Response(body, status=error.status, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`, in the API's shape for requests to the API. Django's own exceptions say nothing to those
    who asked."""
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    detail = str(exception) if isinstance(exception, BadRequest) else "The request cannot be read."
    return JsonResponse(problem(400, detail), status=400, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`, in the API's shape for addresses of the API that do not exist."""
    if not request.path.startswith("/api/"):
        return defaults.page_not_found(request, exception)
    body = problem(404, f"There is nothing at {request.path}.", code="not_found")
    return JsonResponse(body, status=404, content_type=CONTENT_TYPE)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`, in the API's shape where the API failed."""
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    body = problem(500, "Earshot itself failed. The server's log has the traceback.", code="error")
    return JsonResponse(body, status=500, content_type=CONTENT_TYPE)


def _sentence(error: dict[str, str]) -> str:
    return f"{error['field']}: {error['message']}" if error["field"] else error["message"]


def _flatten(detail: Any, field: str = "") -> Iterator[dict[str, str]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            inner_field = "" if name == "non_field_errors" else f"{field}.{name}" if field else str(name)
            yield from _flatten(inner, inner_field)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _flatten(inner, f"{field}[{index}]" if nested and field else field)
    else:
        yield {"field": field, "message": str(detail)}
