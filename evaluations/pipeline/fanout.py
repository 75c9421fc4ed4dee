"""Many calls at once, from a worker that writes rows one at a time.

Calls run in an event loop in a thread of its own; their outcomes come back to the worker's thread, which alone
touches the database.
"""

import asyncio
import queue
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Outcome = TypeVar("Outcome")


class FanOut(Generic[Outcome]):
    """Calls under way. `submit` starts one, `next` waits for one to end; both from the worker's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.under_way = 0

    def submit(self, call: Coroutine[Any, Any, Outcome]) -> None:
        """Start a call. It must not raise: what goes wrong is part of its outcome."""
        self.under_way += 1
        asyncio.run_coroutine_threadsafe(self._run(call), self._loop)

    async def _run(self, call: Coroutine[Any, Any, Outcome]) -> None:
        self._outcomes.put(await call)

    def next(self, timeout: float) -> Outcome | None:
        """The outcome of a call that has ended; None where none ends within `timeout` seconds."""
        try:
            outcome = self._outcomes.get(timeout=timeout)
        except queue.Empty:
            return None
        self.under_way -= 1
        return outcome


@contextmanager
def fan_out() -> Iterator[FanOut[Any]]:
    """A FanOut; on the way out, calls still under way are cancelled and awaited."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="calls", daemon=True)
    thread.start()
    try:
        yield FanOut(loop)
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
