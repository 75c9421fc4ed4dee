"""What a client is sent, in order, as fast as it reads and no faster."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gateway.realtime.core.commands import Close

ENOUGH = 256 * 1024  # characters waiting, above which answers are held up
TOO_MUCH = 32 * 1024 * 1024  # characters waiting, above which the client is given up: it asks and does not read
PATIENCE = 10.0  # seconds that one frame may take


class SlowReader(Exception):  # noqa: N818 - the client's fault
    """The client does not read what it is sent."""


class Outbox:
    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._farewell: Close | None = None

    def put(self, frame: str) -> None:
        self._frames.append(frame)
        self._size += len(frame)
        if self._size > ENOUGH:
            self._room.clear()
        self._changed.set()

    async def room(self) -> None:
        """Wait until most of what waits has been taken."""
        await self._room.wait()

    def close(self, farewell: Close) -> None:
        """Nothing follows what waits."""
        self._farewell = self._farewell or farewell
        self._changed.set()

    async def drain(self, send: Callable[[str], Awaitable[None]]) -> Close:
        """Send everything until closed; with what. Raises SlowReader, and whatever `send` raises."""
        while True:
            while self._frames:
                if self._size > TOO_MUCH:
                    raise SlowReader
                await self._send(self._frames.popleft(), send)
            if self._farewell:
                return self._farewell
            self._changed.clear()
            await self._changed.wait()

    async def _send(self, frame: str, send: Callable[[str], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await send(frame)
        except TimeoutError:
            raise SlowReader from None
        self._size -= len(frame)
        if self._size <= ENOUGH // 2:
            self._room.set()
