"""Many calls at once, from a worker that writes rows one at a time.

Calls run in an event loop in a thread of its own; their outcomes come back to the worker's thread, which alone
touches the database. The loop is the process's, and is kept: adapters keep their connections by it.
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
    """Calls under way. `submit` starts one, `next` waits for one to end; both from the worker's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()  # touched in the loop's thread only
        self.under_way = 0

    def submit(self, call: Coroutine[Any, Any, Outcome]) -> None:
        """Start a call. It must not raise: what goes wrong is part of its outcome."""
        self.under_way += 1
        self._loop.call_soon_threadsafe(self._start, call)

    def _start(self, call: Coroutine[Any, Any, Outcome]) -> None:
        task = self._loop.create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

    async def cancel(self) -> None:
        """In the loop: give up what is under way, and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextmanager
def fan_out() -> Iterator[FanOut[Any]]:
    """A FanOut; on the way out, calls still under way are cancelled and awaited."""
    loop = _kept_loop()
    calls: FanOut[Any] = FanOut(loop)
    try:
        yield calls
    finally:
        asyncio.run_coroutine_threadsafe(calls.cancel(), loop).result()


_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a loop does not survive a fork


def _kept_loop() -> asyncio.AbstractEventLoop:
    loop = _loops.get(os.getpid())
    if loop is None:
        loop = _loops[os.getpid()] = uvloop.new_event_loop()
        threading.Thread(target=loop.run_forever, name="calls", daemon=True).start()
    return loop
