"""The pool of engine processes, shared by all threads and event loops of a process."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.conf import settings

from core.child_process import OnePerProcess
from providers.engines.process import Engine, EngineSpec
from providers.engines.protocol import Message
from providers.engines.slots import Slots

Request = AbstractContextManager[dict[str, Any]]


class Cancelled(Exception):  # noqa: N818
    """The call was cancelled."""


class _Call:
    """A request that may be cancelled at any moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._engine: Engine | None = None

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._engine:
                self._engine.kill()

    def go_on(self) -> None:
        """Raise Cancelled if the call was cancelled."""
        if self._cancelled:
            raise Cancelled

    @contextmanager
    def using(self, engine: Engine) -> Iterator[None]:
        """Have `cancel` kill the engine inside the block. Raises Cancelled."""
        with self._lock:
            self.go_on()
            self._engine = engine
        try:
            yield
        finally:
            with self._lock:
                self._engine = None


class EnginePool:
    """Runs as many requests at once as the host has slots; others wait."""

    def __init__(self, slots: Slots | None = None) -> None:
        self._slots = slots or Slots(engines_at_once())
        # More threads than slots: some fetch audio from storage while engines work.
        self._threads = ThreadPoolExecutor(2 * self._slots.count, thread_name_prefix="engine")
        self._lock = threading.Lock()
        self._idle: list[Engine] = []

    async def ask(self, spec: EngineSpec, request: Request, *, time_limit: float) -> Message:
        """Send the message that `request` yields to an engine; returns the answer. `request` is entered in another
        thread.

        `time_limit` (seconds) covers the work of the engine, neither the wait for a slot nor loading. Raises
        ProviderError. The engine of a cancelled call is killed.
        """
        call = _Call()
        answer = self._threads.submit(self._run, call, spec, request, time_limit)
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            call.cancel()
            raise

    def close(self) -> None:
        """End the idle engines."""
        with self._lock:
            engines, self._idle = self._idle, []
        for engine in engines:
            engine.close()

    def _run(self, call: _Call, spec: EngineSpec, request: Request, time_limit: float) -> Message:
        with request as header, self._slots.one(call.go_on), self._engine(call, spec) as engine:
            return engine.ask(header, time_limit)

    @contextmanager
    def _engine(self, call: _Call, spec: EngineSpec) -> Iterator[Engine]:
        """Yield a loaded engine, and keep it for the next request if it is still usable."""
        engine = self._take_idle(spec) or Engine(spec)
        try:
            with call.using(engine):
                if not engine.is_loaded:
                    engine.load()
                yield engine
        finally:
            self._put_back(engine)

    def _take_idle(self, spec: EngineSpec) -> Engine | None:
        with self._lock:
            stale = [engine for engine in self._idle if not engine.is_fresh]
            self._idle = [engine for engine in self._idle if engine.is_fresh]
            fitting = [engine for engine in self._idle if engine.spec == spec]
            if fitting:
                self._idle.remove(fitting[-1])
        for engine in stale:
            engine.close()
        return fitting[-1] if fitting else None

    def _put_back(self, engine: Engine) -> None:
        """Keep at most as many idle engines as there are slots: each holds 100 MB of model."""
        with self._lock:
            if engine.can_go_on:
                self._idle.append(engine)
                surplus, self._idle = self._idle[: -self._slots.count], self._idle[-self._slots.count :]
            else:
                surplus = [engine]
        for leaving in surplus:
            leaving.close()


shared_pool = OnePerProcess(EnginePool)


def engines_at_once() -> int:
    """Return how many engines may work on this host at once."""
    return settings.ENGINE_PROCESSES or os.cpu_count() or 1
