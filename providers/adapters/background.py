"""An event loop in a thread of its own, one for each process.

An SDK's async client belongs to the loop that it was first used in, while adapters are used from any loop of any
thread. Clients that live here keep their connections, whoever asks.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loops: dict[int, tuple[asyncio.AbstractEventLoop, threading.Thread]] = {}


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, started when it is first asked for; a fork starts its own."""
    with _lock:
        if os.getpid() not in _loops:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="provider-streams", daemon=True)
            thread.start()
            _loops[os.getpid()] = loop, thread
        return _loops[os.getpid()][0]


async def in_background(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Where the caller is cancelled, so is `work`."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, background_loop()))


async def relay(stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """`stream`, run in the background, one part whenever one is asked for; closing this closes it, too."""
    turn = asyncio.Lock()  # a part that was given up is unwound before the stream is closed

    async def part() -> T | None:
        async with turn:
            return await anext(stream, None)

    async def close() -> None:
        async with turn:
            await stream.aclose()

    try:
        while (found := await in_background(part())) is not None:
            yield found
    finally:
        await asyncio.shield(in_background(close()))


@atexit.register
def _stop() -> None:
    loop, thread = _loops.get(os.getpid(), (None, None))
    if loop and thread:
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).add_done_callback(lambda _: loop.stop())
        thread.join(5)
        if not thread.is_alive():
            loop.close()
