"""Clients of which each event loop has one, for a client's connections belong to its loop."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

GRACE = 1.0  # seconds until a client that nobody uses is closed: a loop that ends does it itself


class Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class LoopClients(Generic[C]):
    """Makes a client when a loop first asks for it. It is closed when the loop shuts down, and soon after nobody holds
    this any more."""

    def __init__(self, make: Callable[[], C], *, load: Callable[[], object]) -> None:
        """`load` does in a thread what takes long and `make` needs: an import, or files."""
        self._make = make
        self._load = load
        self._held: dict[asyncio.AbstractEventLoop, tuple[C, AsyncGenerator[C]]] = {}
        weakref.finalize(self, _let_go, self._held).atexit = False

    async def get(self) -> C:
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            await asyncio.to_thread(self._load)  # not in the loop, which would stand still
        if loop not in self._held:
            # A loop closes the generators that were begun in it before it closes itself (`shutdown_asyncgens`): the
            # only word of its end that it gives.
            holder = _hold(self._make(), self._held, loop)
            self._held[loop] = (await anext(holder), holder)
        return self._held[loop][0]

    def close(self) -> None:
        """From any thread. Clients of loops that run are closed there, soon."""
        for loop, (_, holder) in list(self._held.items()):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(holder.aclose(), loop)


async def _hold(
    client: C, held: dict[asyncio.AbstractEventLoop, tuple[C, AsyncGenerator[C]]], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[C]:
    try:
        yield client
    finally:
        held.pop(loop, None)
        await client.close()


def _let_go(held: dict[asyncio.AbstractEventLoop, tuple[C, AsyncGenerator[C]]]) -> None:
    for loop, (_, holder) in list(held.items()):
        with suppress(RuntimeError):  # it is closed already
            loop.call_soon_threadsafe(loop.call_later, GRACE, _close, loop, holder)


def _close(loop: asyncio.AbstractEventLoop, holder: AsyncGenerator[C]) -> None:
    asyncio.run_coroutine_threadsafe(holder.aclose(), loop)
