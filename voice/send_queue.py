"""The queue of frames to a client, with limits for one that reads slowly."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from voice.protocol.commands import Close

ENOUGH = 256 * 1024  # queued characters above which responses pause
TOO_MUCH = 32 * 1024 * 1024  # queued characters above which the client is disconnected
PATIENCE = 10.0  # seconds to send one frame


class SlowReader(Exception):  # noqa: N818 - the client's fault
    """The client does not read what is sent."""


class SendQueue:
    """Frames wait here until the client has read those before. `put` never waits; `room` does."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._farewell: Close | None = None
        self._drainer: asyncio.Task[object] | None = None
        self._overflown = False
        self._ended = False

    def put(self, frame: str) -> None:
        if self._ended:
            return
        self._frames.append(frame)
        self._size += len(frame)
        if self._size > ENOUGH:
            self._room.clear()
        if self._size > TOO_MUCH and not self._overflown:
            self._overflown = True
            if self._drainer:
                self._drainer.cancel()
        self._changed.set()

    async def room(self) -> None:
        """Wait until at most half of ENOUGH is queued."""
        await self._room.wait()

    def close(self, farewell: Close) -> None:
        """Close after the frames that are queued."""
        self._farewell = self._farewell or farewell
        self._changed.set()

    async def drain(self, send: Callable[[str], Awaitable[None]]) -> Close:
        """Send frames until closed, and return the first `close`. Raises SlowReader, and whatever `send` raises."""
        self._drainer = asyncio.current_task()
        try:
            return await self._drain(send)
        except asyncio.CancelledError:
            if not self._overflown:
                raise
            raise SlowReader from None
        finally:
            self._drainer, self._ended = None, True
            self._frames.clear()

    async def _drain(self, send: Callable[[str], Awaitable[None]]) -> Close:
        while True:
            while self._frames:
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
