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
# Requests run in threads of their own here: a connection that is kept is never used again, and piles up with others.
os.environ.setdefault("CONN_MAX_AGE", "0")
# Products of matrices as small as those of the voice detector are slower on several cores than on one.
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

SITE_SECONDS = 3.0  # for pages and REST when the server is told to stop: progress of runs would be told for ever

_pages: set[asyncio.Task[Any]] = set()

# What is loaded by now stays: looking through it for garbage would stop everybody's speech for a tenth of a second.
gc.collect()
gc.freeze()


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """`/v1/` and all WebSockets are the gateway's, everything else Django's."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http" and (scope["path"] == "/v1" or scope["path"].startswith("/v1/")):
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
            if task in _pages:  # it was not us
                raise
        finally:
            _pages.discard(task)


def with_nosniff(send: Send) -> Send:
    """Django does so for its own answers."""

    async def send_with_header(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]}
        await send(message)

    return send_with_header


async def lifespan(receive: Receive, send: Send) -> None:
    """The server's start and end: when it ends, no usage may be left unwritten."""
    await receive()
    await asyncio.to_thread(remove_left_over)
    when_told_to_stop(lambda: asyncio.get_running_loop().call_later(SITE_SECONDS, end_pages))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.to_thread(recorder.close)
    await asyncio.to_thread(close_limiters)
    await send({"type": "lifespan.shutdown.complete"})


def when_told_to_stop(then: Callable[[], object]) -> None:
    """Call `then` in the running loop at SIGTERM or Ctrl-C, before the server does what it does then."""
    loop = asyncio.get_running_loop()

    def handle(signum: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(then)
        before = servers_own[signum]
        if callable(before):
            before(signum, frame)

    servers_own = {int(signum): signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    if threading.current_thread() is threading.main_thread():
        for signum in servers_own:
            signal.signal(signum, handle)


def end_pages() -> None:
    while _pages:
        _pages.pop().cancel()
