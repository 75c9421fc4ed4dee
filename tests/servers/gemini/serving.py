"""The event loop that the stand-in lives in."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvloop

from tests.servers.gemini.app import App
from tests.servers.gemini.http11 import Server

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
    await server.listen(port)
    app.base_url = f"http://127.0.0.1:{server.port}"
    ready(server.port, lambda: loop.call_soon_threadsafe(stopped.set))
    await stopped.wait()
    await server.close()
