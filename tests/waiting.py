"""Waiting for what another process, a thread or the queue brings about: for a condition, never for a time."""

import asyncio
import inspect
import time

from django.db import connections


def wait_for(condition, seconds=120, every=0.05, state=None):
    """Return the first true value of `condition()`, which is asked every `every` seconds, and once more when `seconds`
    are over. Fails with what it waited for, the last value seen, and what `state()` tells."""
    asked = _Asked(condition, seconds, state)
    while not asked.is_met():
        time.sleep(every)
    return asked.value


async def async_wait_for(condition, seconds=120, every=0.01, state=None):
    """`wait_for` in an event loop, which goes on meanwhile."""
    asked = _Asked(condition, seconds, state)
    while not asked.is_met():
        await asyncio.sleep(every)
    return asked.value


async def beside(work):
    """What `work()` gives, which may ask the database, in a thread beside the event loop."""

    def run():
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


class _Asked:
    def __init__(self, condition, seconds, state):
        self.condition, self.seconds, self.state = condition, seconds, state
        self.deadline = time.monotonic() + seconds
        self.value = None

    def is_met(self):
        is_last = time.monotonic() > self.deadline
        self.value = self.condition()
        assert self.value or not is_last, self._failure()
        return bool(self.value)

    def _failure(self):
        what = getattr(self.condition, "__qualname__", repr(self.condition))
        if "<lambda>" in what:
            what = " ".join(inspect.getsource(self.condition).split())
        told = f"; {self.state()}" if self.state else ""
        return f"not within {self.seconds} s: {what}; last seen: {self.value!r}{told}"
