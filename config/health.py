"""Health checks: `/healthz` says that the process runs, `/readyz` that database and storage answer."""

import tempfile
from pathlib import Path

from django.core.files.storage import FileSystemStorage, default_storage
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from core.queue import longest_wait


def alive(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 where database and storage answer, else 503. `queue_age`: seconds that the oldest due task waits."""
    state: dict[str, object] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        state["queue_age"] = longest_wait()
        state["database"] = "ok"
    except DatabaseError:
        state["database"] = "does not answer"
    try:
        _reach_storage()
        state["storage"] = "ok"
    except Exception:
        state["storage"] = "does not answer"
    ok = state.get("database") == state["storage"] == "ok"
    return JsonResponse(state, status=200 if ok else 503)


def _reach_storage() -> None:
    """Raise an exception where the storage does not answer, or its folder is not writable."""
    if isinstance(default_storage, FileSystemStorage):
        folder = Path(default_storage.location)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    else:
        default_storage.exists("ready")
