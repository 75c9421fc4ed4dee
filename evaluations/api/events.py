"""Streams the progress of a run as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from accounts.access import Access
from accounts.api_keys import still_has_access
from evaluations.choices import UNFINISHED
from evaluations.models import Run
from evaluations.progress import RunProgress, run_progress

LOOK_SECONDS = 1.0
ACCESS_SECONDS = 5.0  # between two looks whether the one who watches still may
HEARTBEAT_SECONDS = 15.0  # proxies close connections on which nothing comes for long


async def progress_events(run_id: int, access: Access) -> AsyncIterator[bytes]:
    """A `progress` event whenever a count or a state has changed, then one `end`; comments as heart-beats. The stream
    ends without an `end` where the access of whoever watches does.

    Between two looks nothing is held but the client's connection: no thread waits, no database connection is kept.
    """
    await sync_to_async(connections.close_all)()  # the request's own, which would stay open as long as the client
    shown, sent_at, checked_at = None, 0.0, time.monotonic()
    while True:
        is_checked = time.monotonic() - checked_at > ACCESS_SECONDS
        look = sync_to_async(_look, thread_sensitive=False)
        may_watch, progress = await look(run_id, access if is_checked else None)
        if not may_watch:
            return
        if progress is None:
            break
        checked_at = time.monotonic() if is_checked else checked_at
        state = replace(progress, seconds_elapsed=None, seconds_left=None)
        if state != shown:
            yield _event("progress", asdict(progress))
            shown, sent_at = state, time.monotonic()
        elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
            yield b": still here\n\n"
            sent_at = time.monotonic()
        if progress.status not in UNFINISHED:
            break
        await asyncio.sleep(LOOK_SECONDS)
    yield _event("end", {"status": progress.status if progress else "deleted"})


def _look(run_id: int, access: Access | None) -> tuple[bool, RunProgress | None]:
    """Whether `access`, where it is to be checked, still holds; and the progress, None where the run was deleted."""
    try:
        if access is not None and not still_has_access(access):
            return False, None
        run = Run.objects.filter(pk=run_id).first()
        return True, run_progress(run) if run else None
    finally:
        connections.close_all()


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
