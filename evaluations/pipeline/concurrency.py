"""Runs many calls at once for a worker that writes rows one at a time.

Calls run in an event loop in a thread of its own; their outcomes go back to the worker's thread, which alone uses the
database. A process has one loop for all its work, since adapters keep their connections by loop.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import uvloop

Outcome = TypeVar("Outcome")


class FanOut(Generic[Outcome]):
    """Holds the calls under way. The worker's thread starts calls by `submit` and awaits them by `next_outcome`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()  # touched in the loop's thread only
        self.under_way = 0

    def submit(self, call: Coroutine[Any, Any, Outcome]) -> None:
        """Start a call. It must not raise: an error is part of its outcome."""
        self.under_way += 1
        self._loop.call_soon_threadsafe(self._start, call)

    def _start(self, call: Coroutine[Any, Any, Outcome]) -> None:
        task = self._loop.create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Coroutine[Any, Any, Outcome]) -> None:
        self._outcomes.put(await call)

    def next_outcome(self, timeout: float) -> Outcome | None:
        """Wait for a call to end and return its outcome; None where none ends within `timeout` seconds."""
        try:
            outcome = self._outcomes.get(timeout=timeout)
        except queue.Empty:
            return None
        self.under_way -= 1
        return outcome

    async def cancel(self) -> None:
        """Cancel the calls under way and wait until they have ended. Must run in the loop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextmanager
def fan_out() -> Iterator[FanOut[Any]]:
    """Yield a FanOut; at the end, cancel the calls still under way and wait for them."""
    loop = _process_loop()
    calls: FanOut[Any] = FanOut(loop)
    try:
        yield calls
    finally:
        asyncio.run_coroutine_threadsafe(calls.cancel(), loop).result()


_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a loop does not survive a fork


def _process_loop() -> asyncio.AbstractEventLoop:
    """Return this process's event loop; started at the first call."""
    loop = _loops.get(os.getpid())
    if loop is None:
        loop = _loops[os.getpid()] = uvloop.new_event_loop()
        threading.Thread(target=loop.run_forever, name="calls", daemon=True).start()
    return loop
