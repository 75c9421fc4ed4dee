"""A small, fast HTTP/1.1 server that can also misbehave: hang up, or stop in the middle of an answer."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

import httptools

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
}


@dataclass
class Request:
    method: str
    path: str  # without the query
    query_string: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @cached_property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.query_string).items()}

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass
class Response:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # close the connection without a word
    send_only: int | None = None  # bytes of the body that are sent before the connection is closed
    pieces: AsyncGenerator[bytes, None] | None = None  # instead of the body: sent as they come, and closed

    def to_bytes(self) -> bytes:
        length = {"content-length": len(self.body)} if self.pieces is None else {"transfer-encoding": "chunked"}
        headers = {"content-type": "application/json; charset=UTF-8", **self.headers, **length}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Status')}\r\n{lines}\r\n".encode("latin-1")
        return head + (self.body if self.send_only is None else self.body[: self.send_only])


Handler = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered one after another."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._streaming: asyncio.Task[None] | None = None
        self._start_request()

    def _start_request(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    # asyncio's callbacks
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)
        if self._streaming is not None:
            self._streaming.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    # the parser's callbacks
    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        method = self._parser.get_method().decode()
        request = Request(method, path, query, self._headers, b"".join(self._body))
        self._start_request()
        # The effect of a request happens even when the caller has given up waiting, as it does at Google's.
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _answer(self, request: Request) -> None:
        response = await self._server.handler(request)
        if self._transport is None:
            return
        if response.hang_up:
            self._transport.abort()
            return
        self._transport.write(response.to_bytes())
        if response.pieces is not None:
            await self._stream(response.pieces)
        elif response.send_only is not None:
            self._transport.close()

    async def _stream(self, pieces: AsyncGenerator[bytes, None]) -> None:
        """Until the caller hangs up; a piece of no bytes is the end of the connection, not of the answer."""
        self._streaming = asyncio.current_task()
        async with aclosing(pieces):
            async for piece in pieces:
                if not piece:
                    self._transport.close()
                    break
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self._transport.write(b"0\r\n\r\n")
        self._streaming = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Server:
    """Listens on 127.0.0.1."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.port = 0
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
