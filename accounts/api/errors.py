"""Errors of the REST API, in the shape of problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """`{"type", "title", "status", "detail", "errors": [{"field", "message"}]}` for what a client did wrong.

    None for what it did not: that becomes a 500 and is logged.
    """
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return None
    errors = list(_flatten(error.detail)) if isinstance(error, exceptions.ValidationError) else []
    detail = "; ".join(_sentence(e) for e in errors[:3]) if errors else str(error.detail)
    response.data = {
        "type": f"urn:earshot:{error.get_codes() if isinstance(error.get_codes(), str) else 'invalid'}",
        "title": HTTPStatus(response.status_code).phrase,
        "status": response.status_code,
        "detail": detail,
        "errors": errors,
    }
    response.content_type = "application/problem+json"
    return response


def _sentence(error: dict[str, str]) -> str:
    return f"{error['field']}: {error['message']}" if error["field"] else error["message"]


def _flatten(detail: Any, field: str = "") -> Any:
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
