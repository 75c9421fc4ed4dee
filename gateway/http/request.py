"""One HTTP request and its answer, on bare ASGI."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from accounts.access import Access
from gateway.http.errors import Disconnected, HttpError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

BODY_PATIENCE = 60.0  # seconds without a byte of the body
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class Request:
    """What is asked, by whom, and the way to answer.

    Once its body is read, the task that serves it is cancelled as soon as the client goes away.
    """

    access: Access  # set before any handler is called

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of several the first one counts
        self._receive = receive
        self._send = send
        given = self.header("x-request-id") or ""
        self.request_id = given if REQUEST_ID.fullmatch(given) else f"req_{random.getrandbits(128):032x}"
        self.asked_at = time.monotonic()  # when the request was whole
        self.disconnected = False
        self.status: int | None = None  # of the answer, once it has begun
        self._answered = False
        self._whole = False
        self._watcher: asyncio.Task[None] | None = None

    def header(self, name: str) -> str | None:
        """`name` in small letters."""
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    # --- the body ---------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises Disconnected, and HttpError where nothing comes."""
        while not self._whole:
            try:
                async with asyncio.timeout(BODY_PATIENCE):
                    message = await self._receive()
            except TimeoutError:
                raise HttpError(408, f"No more of the request came for {BODY_PATIENCE:.0f} seconds.") from None
            if message["type"] == "http.disconnect":
                self.disconnected = True
                raise Disconnected
            if not message.get("more_body"):
                self._whole = True
                self.asked_at = time.monotonic()
                self._watch()
            if piece := message.get("body"):
                return bytes(piece)
        return b""

    async def read_all(self, limit: int) -> bytes:
        """The whole body. Raises HttpError 413 above `limit` bytes."""
        pieces, size = [], 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise HttpError(413, f"The request's body is larger than {limit} bytes.", code="request_too_large")
        return b"".join(pieces)

    def _watch(self) -> None:
        served_by = asyncio.current_task()
        assert served_by is not None  # noqa: S101 - we are in a coroutine

        async def cancel_when_gone() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            if not self._answered:
                self.disconnected = True
                served_by.cancel()

        self._watcher = asyncio.create_task(cancel_when_gone())

    async def close(self) -> None:
        """The request is over."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher

    # --- the answer -------------------------------------------------------------------------------

    async def answer(self, status: int, content_type: str, body: bytes, headers: Headers = ()) -> None:
        """The whole answer at once."""
        await self.start(status, content_type, [("Content-Length", str(len(body))), *headers])
        await self.send(body, more=False)

    async def start(self, status: int, content_type: str, headers: Headers = ()) -> None:
        """Begin an answer that is sent in pieces."""
        self.status = status
        lines = [("Content-Type", content_type), ("X-Request-Id", self.request_id), *headers]
        encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """Returns when there is room for the next piece. Without `more` the answer is whole; one that is left
        without it is broken off."""
        self._answered = not more
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def answer_error(self, error: HttpError) -> None:
        await self.answer(error.status, "application/json", error.body, error.headers.items())
