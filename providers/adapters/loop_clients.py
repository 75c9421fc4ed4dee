"""One HTTP client for each event loop, as the connections of a client belong to its loop."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

GRACE = 1.0  # seconds until the clients of a dropped object are closed, unless their loop ends before


class Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class LoopClients(Generic[C]):
    """Makes a client when it is first used in a loop, and closes it when the loop shuts down or, after GRACE seconds,
    when this object is garbage collected."""

    def __init__(self, make: Callable[[], C], *, load: Callable[[], object]) -> None:
        """`load`: slow preparation of `make`, such as an import, which is run in a thread."""
        self._make = make
        self._load = load
        self._held: dict[asyncio.AbstractEventLoop, tuple[C, AsyncGenerator[C]]] = {}
        weakref.finalize(self, _let_go, self._held).atexit = False

    async def get(self) -> C:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            await asyncio.to_thread(self._load)  # in a thread, as it would block the loop
        if loop not in self._held:
            # A closing loop closes the async generators that were started in it (`shutdown_asyncgens`): there is no
            # other notification.
            holder = _hold(self._make(), self._held, loop)
            self._held[loop] = (await anext(holder), holder)
        return self._held[loop][0]

    def close(self) -> None:
        """Have the clients of running loops closed soon, in these loops. Thread-safe."""
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
