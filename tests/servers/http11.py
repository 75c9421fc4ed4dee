"""A small, fast HTTP/1.1 server for stand-ins: it streams its answers, sees callers leave, and can misbehave."""

import asyncio
import json
import mmap
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import httptools

MEMORY_BYTES = 1 << 20  # of a body; what is larger waits on disk

Body = bytes | mmap.mmap


@dataclass
class Request:
    method: str
    path: str  # without the query
    query_string: str
    headers: dict[str, str]  # names in lower case
    body: Body  # open until the request is answered

    @cached_property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.query_string).items()}

    def json(self) -> Any:
        return json.loads(self.body[:] or b"{}")


@dataclass
class Response:
    """`parts`: sent one by one, chunked, in place of `body`."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    parts: AsyncGenerator[bytes, None] | None = None
    hang_up: bool = False  # close the connection without a word
    send_only: int | None = None  # bytes of the body that are sent before the connection is closed

    def head(self) -> bytes:
        length = {"transfer-encoding": "chunked"} if self.parts is not None else {"content-length": len(self.body)}
        headers = {"content-type": "application/json", **self.headers, **length}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{lines}\r\n".encode("latin-1")


class BrokenOff(Exception):  # noqa: N818
    """Raised by parts: the connection is closed in the middle of the answer."""


Handler = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One keep-alive connection. A stream whose caller leaves is cancelled, and so is any other request, unless the
    server does them all the same."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_streaming = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._start_request()

    def _start_request(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._spool: Any = None

    # asyncio's callbacks
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)
        if self._spool is not None:
            self._spool.close()
        if self._task is not None and not self._task.done():
            self._server.left += 1
            if self._is_streaming or not self._server.does_all_the_same:
                self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def is_held_up(self) -> bool:
        """Whether the caller reads more slowly than the answer could be sent."""
        return not self._writable.is_set()

    # the parser's callbacks
    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect") == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._spool is not None:
            self._spool.write(body)
            return
        self._body += body
        if len(self._body) > MEMORY_BYTES:
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115
            self._spool.write(self._body)
            self._body = bytearray()

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(self._parser.get_method().decode(), path, query, self._headers, self._whole_body())
        self._start_request()
        self._task = asyncio.get_running_loop().create_task(self._answer(request))
        self._server.tasks.add(self._task)
        self._task.add_done_callback(self._server.tasks.discard)

    def _whole_body(self) -> Body:
        if self._spool is None:
            return bytes(self._body)
        with self._spool as file:
            file.flush()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._server.handler(request)
        finally:
            if isinstance(request.body, mmap.mmap):
                request.body.close()
        if self._transport is None:
            return
        if response.hang_up:
            self._transport.abort()
        elif response.parts is not None:
            await self._send_parts(response.head(), response.parts)
        else:
            body = b"" if request.method == "HEAD" else response.body[: response.send_only]
            self._transport.write(response.head() + body)
            if response.send_only is not None:
                self._transport.close()

    async def _send_parts(self, head: bytes, parts: AsyncGenerator[bytes, None]) -> None:
        self._is_streaming = True
        self._transport.write(head)
        try:
            async with aclosing(parts):
                async for part in parts:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
                    await self._writable.wait()
            self._transport.write(b"0\r\n\r\n")
        except BrokenOff:
            self._transport.close()
        finally:
            self._is_streaming = False

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Server:
    """Listens on 127.0.0.1."""

    def __init__(self, handler: Handler, *, does_all_the_same: bool) -> None:
        """`does_all_the_same`: what is asked is done where the caller has given up waiting for it, too."""
        self.handler = handler
        self.does_all_the_same = does_all_the_same
        self.port = 0
        self.left = 0  # callers that went away before their answer's end
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def listen(self, port: int) -> None:
        """Port 0: a free one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._listener.close()
        for connection in list(self.connections):
            connection.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
