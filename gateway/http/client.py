"""HTTP/1.1 to providers, by connections that are kept: what a relayed request needs and no more.

An SDK, or a general HTTP client, costs more CPU for such a call than everything else that the gateway does.
"""

import asyncio
import io
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httptools
import httpx2

from providers.adapters.base import ProviderError
from providers.reasons import Reason

IDLE = 4.0  # seconds that a connection is kept unused; many servers close it after five
KEPT = 64  # unused connections to one place
CONNECT_PATIENCE = 10.0  # seconds
PIECE = 256 * 1024  # bytes read and sent at once
LONGEST_ANSWER = 64 * 1024 * 1024  # bytes


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in small letters
    body: bytearray = field(default_factory=bytearray)


class Streamed:
    """An answer that has begun: its head, and its body as it comes."""

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self.status = connection.answer.status
        self.headers = connection.answer.headers

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        body, goes_on = self._connection.answer.body, True
        while goes_on:
            if body:
                yield bytes(body)
                body.clear()
            goes_on = await self._connection.read_on()
        if body:
            yield bytes(body)


class Upstream:
    """Connections of one event loop to one base address."""

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._base_path = url.path
        self._host = url.hostname or ""
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl = _tls() if url.scheme == "https" else None
        self._netloc = url.netloc.rpartition("@")[2]
        self._idle: list[_Connection] = []

    async def post(self, path: str, headers: Mapping[str, str], start: bytes, file: BinaryIO, end: bytes) -> Answer:
        """Send `start`, the file from its beginning, and `end` as one body to a path below the base address.
        Raises ProviderError."""
        async with self._asked(path, headers, start, file, end) as connection:
            while await connection.read_on():
                if len(connection.answer.body) > LONGEST_ANSWER:
                    raise EOFError("the answer is endless")
            return connection.answer

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str], body: bytes) -> AsyncIterator["Streamed"]:
        """Send `body`, and go on with the answer as soon as it has begun. Raises ProviderError, inside too."""
        async with self._asked(path, headers, body, io.BytesIO(), b"") as connection:
            while not connection.answer.status:
                await connection.read_on()
            yield Streamed(connection)

    @asynccontextmanager
    async def _asked(
        self, path: str, headers: Mapping[str, str], start: bytes, file: BinaryIO, end: bytes
    ) -> AsyncIterator["_Connection"]:
        """A connection that the request is sent on. It is kept for the next one where its answer is read to its end."""
        size = len(start) + file.seek(0, 2) + len(end)
        lines = [f"POST {self._base_path}{path} HTTP/1.1", f"Host: {self._netloc}", f"Content-Length: {size}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "\r\n"]).encode("latin-1")
        connection = await self._connection()
        try:
            await connection.ask(head + start, file, end)
            yield connection
        except (OSError, EOFError, httptools.HttpParserError) as error:
            message = f"The connection to the provider broke ({type(error).__name__})."
            raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from error
        finally:
            if connection.reusable and len(self._idle) < KEPT:
                self._idle.append(connection)
            else:
                connection.close()

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
            connection.close()
        try:
            async with asyncio.timeout(CONNECT_PATIENCE):
                streams = await asyncio.open_connection(self._host, self._port, ssl=self._ssl, limit=PIECE)
        except (OSError, TimeoutError) as error:
            message = f"The provider cannot be reached ({type(error).__name__})."
            raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from error
        return _Connection(*streams)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._complete = False
        self._used_at = time.monotonic()
        self.answer = Answer()
        self.reusable = False

    @property
    def alive(self) -> bool:
        """Neither closed by the other side nor unused for so long that it may be at any moment."""
        return not self._reader.at_eof() and time.monotonic() - self._used_at < IDLE

    def close(self) -> None:
        self._writer.close()

    async def ask(self, start: bytes, file: BinaryIO, end: bytes) -> None:
        self.answer, self._complete, self.reusable = Answer(), False, False
        with suppress(ConnectionError):  # whoever refuses a request before it is whole has answered
            await self._send(start, file, end)

    async def read_on(self) -> bool:
        """Add what has come to the answer. False: it is whole. Raises OSError, EOFError, HttpParserError."""
        if not self._complete:
            data = await self._reader.read(PIECE)
            if data:
                self._parser.feed_data(data)
                self._used_at = time.monotonic()
            elif self._ends_by_closing:
                self._complete = True
            else:
                raise EOFError("the answer was cut off")
        return not self._complete

    async def _send(self, start: bytes, file: BinaryIO, end: bytes) -> None:
        file.seek(0)
        parts = [start]  # what is small goes out together with what follows: each write is a system call
        while len(piece := file.read(PIECE)) == PIECE:
            self._writer.writelines([*parts, piece])
            parts = []
            await self._writer.drain()
        self._writer.writelines([*parts, piece, end])
        await self._writer.drain()

    @property
    def _ends_by_closing(self) -> bool:
        headers = self.answer.headers
        return (
            bool(headers) and "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "")
        )

    # --- what the parser finds --------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.answer.body += body

    def on_message_complete(self) -> None:
        if self.answer.status < 200:  # "go on": the answer itself is still to come
            self.answer = Answer()
        else:
            self._complete = True
            self.reusable = self._parser.should_keep_alive()  # it forgets as soon as this returns


_upstreams: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Upstream]] = WeakKeyDictionary()


def upstream_of(base_url: str) -> Upstream:
    """The running event loop's connections to what is at `base_url`."""
    known = _upstreams.setdefault(asyncio.get_running_loop(), {})
    if base_url not in known:
        known[base_url] = Upstream(base_url)
    return known[base_url]


def close_upstreams() -> None:
    """Let go of the running event loop's connections."""
    for upstream in _upstreams.pop(asyncio.get_running_loop(), {}).values():
        upstream.close()


_contexts: list[ssl.SSLContext] = []


def _tls() -> ssl.SSLContext:
    """Made once, since it reads a file of all authorities; the same that the SDKs trust."""
    if not _contexts:
        _contexts.append(httpx2.create_ssl_context())
    return _contexts[0]
