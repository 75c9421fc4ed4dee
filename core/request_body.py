"""Limits the size and the duration of request bodies before Django reads them.

Under ASGI Django writes the whole body to disk before it handles the request.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from starlette.types import Message, Receive, Scope, Send

from core.api.errors import CONTENT_TYPE, problem

PATIENCE = 60.0  # seconds to wait for the next bytes; also added to the time that a body may take by LOWEST_RATE
LOWEST_RATE = 8 * 1024  # bytes a second, over the whole body
# After a refusal this much more is read and dropped: a client that is still sending when the connection is closed may
# not read the response.
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0

Application = Callable[[Any, Receive, Any], Awaitable[None]]  # Django's types are narrower than Starlette's


@dataclass(frozen=True)
class Refusal:
    """The error response to a body that is refused. `detail` is for people."""

    status: int
    detail: str
    code: str


@dataclass(frozen=True)
class BodyLimit:
    max_bytes: int
    refusal: Refusal  # the response to a larger body


# Returns the limit for a request, by its scope and its announced size (bytes; None: unknown).
LimitOf = Callable[[Scope, int | None], Awaitable[BodyLimit]]


class LimitedBodies:
    """ASGI middleware that refuses bodies that are too large or too slow."""

    def __init__(self, application: Application, limit_of: LimitOf) -> None:
        self._application = application
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = announced_size(scope)
        limit = await self._limit_of(scope, announced)
        if announced is not None and announced > limit.max_bytes:
            await refuse(limit.refusal, scope, receive, send)
            return
        body = _Body(limit, receive, scope, is_announced=announced is not None)
        await self._application(scope, body.receive, send)
        if body.refusal is not None:
            await refuse(body.refusal, scope, receive, send)


class _Body:
    """Passes the messages of a body on to the application. When it refuses the body, the application sees a disconnect,
    so that it drops what it has read and sends no response."""

    def __init__(self, limit: BodyLimit, receive: Receive, scope: Scope, *, is_announced: bool) -> None:
        self.refusal: Refusal | None = None
        self._limit = limit
        self._receive = receive
        self._scope = scope
        self._is_announced = is_announced
        self._size = 0
        self._is_whole = False
        self._began = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        if self.refusal is None:
            try:
                async with asyncio.timeout_at(self._deadline()):
                    message = await self._receive()
            except TimeoutError:
                self.refusal = Refusal(408, "The request's body came too slowly. Send it again.", "timeout")
            else:
                self._size += len(message.get("body", b""))
                if self._size <= self._limit.max_bytes:
                    if not message.get("more_body", False):
                        self._end()
                    return message
                self.refusal = self._limit.refusal
        return {"type": "http.disconnect"}

    def _end(self) -> None:
        self._is_whole = True
        if not self._is_announced:  # parsers read Content-Length bytes: none without that header
            size = str(self._size).encode()
            self._scope["headers"] = [*self._scope["headers"], (b"content-length", size)]

    def _deadline(self) -> float:
        now = asyncio.get_running_loop().time()
        return min(now, self._began + self._size / LOWEST_RATE) + PATIENCE


def announced_size(scope: Scope) -> int | None:
    """Return the size of the body in bytes by the request's headers; None if they do not tell."""
    headers = dict(scope["headers"])
    size: bytes = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not size.isdigit() or len(size) > 18:
        return None
    return int(size)


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the error response (problem details under `/api/`, else a page) and close the connection."""
    if scope["path"].startswith("/api/"):
        media_type = CONTENT_TYPE
        content = json.dumps(problem(refusal.status, refusal.detail, code=refusal.code))
    else:
        media_type = "text/html; charset=utf-8"
        content = render_to_string("body_refused.html", {"detail": refusal.detail})
    body = content.encode()
    headers = {
        "content-type": media_type,
        "content-length": str(len(body)),
        "connection": "close",
        "x-content-type-options": "nosniff",
    }
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await _linger(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(receive: Receive) -> None:
    dropped, more = 0, True
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while more and dropped < LINGER_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        pass
