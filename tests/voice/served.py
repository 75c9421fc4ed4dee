"""The site served by uvicorn in a thread of this process."""

import asyncio
import io
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from config.asgi import application
from gateway.usage import recorder
from providers.limits import close_limiters
from tests.evaluations.site import free_port
from tests.waiting import wait_for


@dataclass
class Here:
    api: str
    key: str
    loop: asyncio.AbstractEventLoop
    stream: io.StringIO

    def tasks(self):
        """How many asyncio tasks there are."""

        async def count():
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(10)

    def log(self):
        """All that was logged here meanwhile."""
        return self.stream.getvalue()


@contextmanager
def served_here(live):
    """Yields a Here: another process of the same site, as it were."""
    port = free_port()
    config = uvicorn.Config(
        application,
        port=port,
        lifespan="off",
        log_config=None,
        ws_max_size=21 * 1024 * 1024,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    found = {}

    async def serve():
        found["loop"] = asyncio.get_running_loop()
        await server.serve()

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield Here(f"http://127.0.0.1:{port}/v1", live.key, found["loop"], stream)
    finally:
        server.should_exit = True
        thread.join(60)
        logging.getLogger().removeHandler(handler)
        recorder.close()
        close_limiters()
