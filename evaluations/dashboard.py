"""The admin's first page."""

from typing import Any

from django.http import HttpRequest


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds what the dashboard shows to Django's context of the admin index."""
    return context
