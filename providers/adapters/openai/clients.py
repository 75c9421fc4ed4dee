"""The SDK's clients of one provider: one for each event loop, for a client's connections belong to its loop."""

import asyncio
import functools
import ssl
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2

from providers.adapters.openai.sdk import sdk

if TYPE_CHECKING:
    import openai

PIECE = 1 << 16  # bytes
GRACE = 1.0  # seconds until a client that nobody uses is closed: a loop that ends does it itself
IDLE_SECONDS = 30.0  # that a connection is kept for the next call
KEPT = 16  # connections without a call: the pool asks each of them at every call whether it is still open


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Loading them takes longer than all else that a client needs; any thread may use them."""
    return httpx2.create_ssl_context()


def make_client(*, api_key: str, base_url: str, step_seconds: float, own_environment: bool) -> "openai.AsyncOpenAI":
    """A client that leaves repeating to its caller. Its pool grows as callers do, who bound the calls at once.

    `own_environment`: the environment's organization, project and headers go along, as they do with its key.
    """
    http_client = _Client(
        verify=_certificates(),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT, keepalive_expiry=IDLE_SECONDS),
        timeout=step_seconds,
        follow_redirects=False,  # the address was checked, another one was not
    )
    client = sdk().AsyncOpenAI(
        api_key=api_key or "none",  # each call leaves it out then
        base_url=base_url,
        max_retries=0,
        timeout=step_seconds,
        http_client=http_client,
    )
    if not own_environment:
        client.organization = client.project = client.admin_api_key = None
        client._custom_headers = {}  # without those of OPENAI_CUSTOM_HEADERS
    return client


class _Client(httpx2.AsyncClient):
    """Sends forms in large pieces: each of their many small parts would be a write to the socket of its own."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if isinstance(request.stream, httpx2.AsyncByteStream):
            request.stream = _LargePieces(request.stream)
        return await super().send(request, **options)


class _LargePieces(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = bytearray()
        async for piece in self._stream:
            held += piece
            if len(held) >= PIECE:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)

    async def aclose(self) -> None:
        await self._stream.aclose()


Held = dict[asyncio.AbstractEventLoop, "tuple[openai.AsyncOpenAI, AsyncGenerator[openai.AsyncOpenAI]]"]


class LoopClients:
    """Makes a client when a loop first asks for it. It is closed when the loop shuts down, and soon after nobody holds
    this any more."""

    def __init__(self, make: "Callable[[], openai.AsyncOpenAI]") -> None:
        self._make = make
        self._held: Held = {}
        weakref.finalize(self, _let_go, self._held).atexit = False

    async def get(self) -> "openai.AsyncOpenAI":
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            await asyncio.to_thread(sdk)  # not in the loop, which would stand still
        if loop not in self._held:
            # A loop closes the generators that were begun in it before it closes itself (`shutdown_asyncgens`): the
            # only word of its end that it gives.
            holder = _hold(self._make(), self._held, loop)
            self._held[loop] = (await anext(holder), holder)
        return self._held[loop][0]

    def close(self) -> None:
        """From any thread. Clients of loops that run are closed there, soon."""
        for loop, (_, holder) in list(self._held.items()):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(holder.aclose(), loop)


async def _hold(
    client: "openai.AsyncOpenAI", held: Held, loop: asyncio.AbstractEventLoop
) -> "AsyncGenerator[openai.AsyncOpenAI]":
    try:
        yield client
    finally:
        held.pop(loop, None)
        await client.close()


def _let_go(held: Held) -> None:
    for loop, (_, holder) in list(held.items()):
        with suppress(RuntimeError):  # it is closed already
            loop.call_soon_threadsafe(loop.call_later, GRACE, _close, loop, holder)


def _close(loop: asyncio.AbstractEventLoop, holder: "AsyncGenerator[openai.AsyncOpenAI]") -> None:
    asyncio.run_coroutine_threadsafe(holder.aclose(), loop)
