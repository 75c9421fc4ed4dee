"""HTTP/1.1 client for providers by aiohttp, for frequent calls: an SDK needs several times the CPU.

It follows no redirects, uses no cookies and no proxies of the environment, and does not decompress responses. On a
broken keep-alive connection GET and DELETE are repeated once, POST never.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2

from providers.adapters.base import ProviderError
from providers.adapters.loop_clients import LoopClients
from providers.addresses import AddressRefused, public_socket
from providers.reasons import Reason

IDLE_SECONDS = 4.0  # seconds that an idle connection is kept; many servers close it after five
CONNECT_SECONDS = 10.0
PIECE = 64 * 1024  # bytes sent at once
LONGEST_ANSWER = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # case-insensitive names
    body: bytes


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return the TLS context with the certificates that the SDKs trust. Cached, as loading is slow. Thread-safe."""
    return httpx2.create_ssl_context()


@functools.cache
def needs_proxy(url: str) -> bool:
    """Whether the environment sets a proxy for this URL. Such calls are made by httpx2, which supports all kinds."""
    parts = urlsplit(url)
    return not {parts.scheme, "all"}.isdisjoint(getproxies()) and not proxy_bypass(parts.hostname or "")


def _session(*, public_only: bool) -> aiohttp.ClientSession:
    """Make a session without a limit of concurrent calls: callers limit them."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=IDLE_SECONDS,
            ssl=certificates(),
            socket_factory=public_socket if public_only else None,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        auto_decompress=False,
        headers={"User-Agent": "earshot"},
        skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type"],
    )


# Separate, so that providers limited to public addresses never share a connection to a private one.
_sessions = {
    public_only: LoopClients(partial(_session, public_only=public_only), load=certificates)
    for public_only in (False, True)
}


@asynccontextmanager
async def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | AsyncIterable[bytes | memoryview] | None,
    *,
    public_only: bool,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request, and yield the response once its headers have arrived, possibly before the whole body is sent.

    An iterable body needs a Content-Length header. `public_only`: refuse private addresses, as `public_socket` does.
    Raises ProviderError, also for errors inside the block.
    """
    session = await _sessions[public_only].get()
    try:
        try:
            response = await session.request(method, url, headers=headers, data=body, allow_redirects=False)
        except aiohttp.ClientConnectionError:  # some of these are ValueErrors as well
            raise
        except ValueError:  # it may quote the key
            message = "The provider's address or its key holds characters that no request can carry."
            raise ProviderError(Reason.REQUEST_REFUSED, message) from None
        async with response:
            yield response
    except (aiohttp.ClientError, ConnectionError) as error:
        refused = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        if isinstance(refused, AddressRefused):
            message = f"{urlsplit(url).hostname} is not called. {refused}"
            raise ProviderError(Reason.REQUEST_REFUSED, message) from error
        message = f"The connection to the provider failed ({type(error).__name__})."
        raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from error


async def read_answer(response: aiohttp.ClientResponse, on_piece: Callable[[], None] = lambda: None) -> Answer:
    """Read the whole response. Raises ProviderError above LONGEST_ANSWER."""
    body = bytearray()
    async for piece in response.content.iter_any():
        on_piece()
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise ProviderError(Reason.PROVIDER_ERROR, "The provider's answer is endless.", retryable=True)
    return Answer(response.status, response.headers, bytes(body))


async def call(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, public_only: bool, step_seconds: float
) -> Answer:
    """Send a request and read the whole response. Raises ProviderError, also after `step_seconds` without progress."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(step_seconds) as limit:

            def moved() -> None:
                limit.reschedule(loop.time() + step_seconds)

            async def pieces() -> AsyncIterator[memoryview]:
                for start in range(0, len(body), PIECE):
                    yield memoryview(body)[start : start + PIECE]
                    moved()

            data: bytes | AsyncIterator[memoryview] | None = body or None
            if len(body) > PIECE:
                data, headers = pieces(), {**headers, "Content-Length": str(len(body))}
            async with request(method, url, headers, data, public_only=public_only) as response:
                moved()
                return await read_answer(response, moved)
    except TimeoutError:
        raise ProviderError(Reason.TIMEOUT, "The provider did not answer in time.", retryable=True) from None
