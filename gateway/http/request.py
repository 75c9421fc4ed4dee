"""Extends Starlette's request by a request id, a time-out for slow bodies, and the cancellation of the handler when the
client disconnects."""

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

from starlette import requests, responses
from starlette.types import Message, Receive, Scope, Send

from accounts.access import Access
from gateway.errors import ApiError

BODY_PATIENCE = 60.0  # seconds to wait for the next bytes of the body
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies must not buffer streams
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class Request(requests.Request):
    """A request. Once its body is read, the task that handles it is cancelled if the client disconnects."""

    access: Access  # set before the handler is called

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive)
        self._server_send = send
        given = self.headers.get("x-request-id", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else f"req_{random.getrandbits(128):032x}"
        self.asked_at = time.monotonic()  # when the body was complete, by `time.monotonic`
        self.disconnected = False
        self.status: int | None = None  # of the response; None: it has not begun
        self._answered = False
        self._watcher: asyncio.Task[None] | None = None

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives. Raises ClientDisconnect, and ApiError 408 after BODY_PATIENCE without bytes."""
        more = True
        while more:
            try:
                async with asyncio.timeout(BODY_PATIENCE):
                    message = await self.receive()
            except TimeoutError:
                raise ApiError(408, f"No more of the request came for {BODY_PATIENCE:.0f} seconds.") from None
            if message["type"] == "http.disconnect":
                self.disconnected = True
                raise requests.ClientDisconnect
            if not (more := message.get("more_body", False)):
                self.asked_at = time.monotonic()
                self._watch()
            if message.get("body"):
                yield message.pop("body")  # `pop`: the bytes can be freed before the next message arrives

    async def read_all(self, limit: int) -> bytes:
        """Read the whole body. Raises ApiError: 413 above `limit` bytes (Starlette's own limit responds in plain text),
        and 408."""
        pieces, size = [], 0
        async with aclosing(self.stream()) as stream:
            async for piece in stream:
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise ApiError(413, f"The request's body is larger than {limit} bytes.", code="request_too_large")
        return b"".join(pieces)

    async def respond(self, response: responses.Response) -> None:
        """Send a response; returns when the server has accepted all of it. If a stream raises, the response is left
        without an end and the server closes the connection."""
        response.headers["x-request-id"] = self.request_id
        self.status = response.status_code
        await response(self.scope, self.receive, self._send_noting_end)

    async def end(self) -> None:
        """Stop watching for a disconnect."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher

    async def _send_noting_end(self, message: Message) -> None:
        self._answered = message["type"] == "http.response.body" and not message.get("more_body")
        await self._server_send(message)

    def _watch(self) -> None:
        served_by = asyncio.current_task()
        assert served_by is not None  # noqa: S101 - we are in a coroutine

        async def cancel_when_gone() -> None:
            while (await self.receive())["type"] != "http.disconnect":
                pass
            if not self._answered:
                self.disconnected = True
                served_by.cancel()

        self._watcher = asyncio.create_task(cancel_when_gone())


class StreamingResponse(responses.StreamingResponse):
    """Sends pieces as they are made. Unlike Starlette's own it does not watch for a disconnect, upon which that one
    ends without an error: here the request's task is cancelled."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces):
            await self.stream_response(send)
