"""The ASGI application: `uvicorn config.asgi:application`."""

import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Requests run in threads of their own here: a connection that is kept is never used again, and piles up with others.
os.environ.setdefault("CONN_MAX_AGE", "0")
# Products of matrices as small as those of the voice detector are slower on several cores than on one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

site = get_asgi_application()

from gateway.http.app import gateway  # noqa: E402 - its models need Django to be set up
from gateway.http.upstream import close_upstreams  # noqa: E402
from gateway.realtime.routing import websockets  # noqa: E402
from gateway.usage import ledger  # noqa: E402

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """`/v1/` is the gateway's, everything else Django's."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http" and (scope["path"] == "/v1" or scope["path"].startswith("/v1/")):
        await gateway(scope, receive, send)
    elif scope["type"] == "websocket":
        await websockets(scope, receive, send)
    else:
        await site(scope, receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    """The server's start and end: when it ends, no usage may be left unwritten."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    ledger.close()
    close_upstreams()
    await send({"type": "lifespan.shutdown.complete"})
