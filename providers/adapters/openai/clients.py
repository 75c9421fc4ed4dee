"""The SDK's client as we use it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2

from providers.adapters.http import certificates
from providers.adapters.openai.sdk import sdk
from providers.adapters.public_transport import async_transport_for

if TYPE_CHECKING:
    import openai

PIECE = 1 << 16  # bytes
IDLE_SECONDS = 30.0  # that a connection is kept for the next call
KEPT = 16  # connections without a call: the pool asks each of them at every call whether it is still open


def make_client(*, api_key: str, base_url: str, step_seconds: float, own_environment: bool) -> "openai.AsyncOpenAI":
    """A client that leaves repeating to its caller. Its pool grows as callers do, who bound the calls at once.

    `own_environment`: the environment's organization, project and headers go along, as they do with its key.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT, keepalive_expiry=IDLE_SECONDS)
    http_client = _Client(
        verify=certificates(),
        limits=limits,
        transport=async_transport_for(base_url, limits, public_only=not own_environment),
        timeout=step_seconds,
        follow_redirects=False,  # the address was checked, another one was not
    )
    client: openai.AsyncOpenAI = sdk().AsyncOpenAI(
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
