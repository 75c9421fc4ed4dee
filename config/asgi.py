"""The ASGI application: `uvicorn config.asgi:application`."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType
from typing import Any, cast

from django.core.asgi import get_asgi_application
from starlette.types import ASGIApp, Receive

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Each request runs in a thread of its own here: a persistent connection would never be used again, and they pile up.
os.environ.setdefault("CONN_MAX_AGE", "0")
# The voice detector multiplies small matrices, which is slower on several cores than on one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

site = get_asgi_application()

from config.body_limits import body_limit  # noqa: E402 - its models need Django to be set up
from core.request_body import LimitedBodies  # noqa: E402
from core.temporary import remove_left_over  # noqa: E402
from gateway.http.app import ROUTES, Gateway  # noqa: E402
from gateway.usage import recorder  # noqa: E402
from providers.limits import close_limiters  # noqa: E402
from voice import http as voice_http  # noqa: E402
from voice import websocket as voice_websocket  # noqa: E402
from voice.handshake import take_key_out  # noqa: E402

gateway = Gateway([*ROUTES, *voice_http.ROUTES, *voice_websocket.ROUTES])
limited_site = LimitedBodies(cast(ASGIApp, site), body_limit)

Send = Callable[[Mapping[str, Any]], Awaitable[None]]

PAGE_DRAIN_SECONDS = 3.0  # that pages and REST have to end at a stop: streams of progress never end by themselves

_pages: set[asyncio.Task[Any]] = set()

# Exempt what is loaded by now from garbage collection: scanning it would interrupt speech for a tenth of a second.
gc.collect()
gc.freeze()


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Route `/v1/` and all WebSockets to the gateway, everything else to Django."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http" and (scope["path"] == "/v1" or scope["path"].startswith("/v1/")):
        if scope["path"].startswith("/v1/realtime"):  # what a proxy without upgrades makes of a WebSocket's address
            take_key_out(scope)
        await gateway(scope, receive, with_nosniff(send))
    elif scope["type"] == "websocket":
        take_key_out(scope)
        await gateway(scope, receive, send)
    else:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in a coroutine
        _pages.add(task)
        try:
            await limited_site(scope, receive, send)
        except asyncio.CancelledError:
            if task in _pages:  # not cancelled by `cancel_pages`
                raise
        finally:
            _pages.discard(task)


def with_nosniff(send: Send) -> Send:
    """Add `X-Content-Type-Options: nosniff` to responses, as Django does to its own."""

    async def send_with_header(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]}
        await send(message)

    return send_with_header


async def lifespan(receive: Receive, send: Send) -> None:
    """Handle the server's start and end; at the end, write the usage records that are still in memory."""
    await receive()
    await asyncio.to_thread(remove_left_over)
    on_stop_signal(lambda: asyncio.get_running_loop().call_later(PAGE_DRAIN_SECONDS, cancel_pages))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.to_thread(recorder.close)
    await asyncio.to_thread(close_limiters)
    await send({"type": "lifespan.shutdown.complete"})


def on_stop_signal(callback: Callable[[], object]) -> None:
    """Call `callback` in the running loop at SIGTERM or Ctrl-C, before the server's own handler."""
    loop = asyncio.get_running_loop()

    def handle(signum: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        before = server_handlers[signum]
        if callable(before):
            before(signum, frame)

    server_handlers = {int(signum): signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    if threading.current_thread() is threading.main_thread():
        for signum in server_handlers:
            signal.signal(signum, handle)


def cancel_pages() -> None:
    """Cancel the requests of pages and REST that are still under way."""
    while _pages:
        _pages.pop().cancel()
