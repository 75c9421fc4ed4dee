"""The event loop that the stand-in lives in."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvloop

from tests.servers.openai.app import App
from tests.servers.openai.http11 import Server

Ready = Callable[[int, Callable[[], None]], None]


def serve(settings: dict[str, Any], faults: list[dict[str, Any]], port: int, ready: Ready) -> None:
    """Serves until stopped; `ready` is given the port, and a function for any thread that stops it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, faults, port, ready))


async def _serve(settings: dict[str, Any], faults: list[dict[str, Any]], port: int, ready: Ready) -> None:
    app = App(settings, faults)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    server = Server(app.handle)
    app.left, app.connections = lambda: server.left, lambda: len(server.connections)
    await server.listen(port)
    ready(server.port, lambda: loop.call_soon_threadsafe(stopped.set))
    await stopped.wait()
    await server.close()
