"""Hears for turns in the background, in the order in which the audio came."""

import asyncio
from collections.abc import Callable

from gateway.realtime.core.commands import DetectTurns, Listen
from gateway.realtime.core.happenings import Happening
from gateway.realtime.vad import VoiceActivity

PIECES_AHEAD = 200  # waiting, above which no more is taken from the client


class Detector:
    def __init__(self, tell: Callable[[Happening], None]) -> None:
        self._tell = tell
        self._orders: asyncio.Queue[DetectTurns | Listen] = asyncio.Queue()
        self._changes = 0  # orders to start afresh that wait: what is heard before them counts no more
        self._room = asyncio.Event()
        self._room.set()

    def order(self, order: DetectTurns | Listen) -> None:
        self._changes += isinstance(order, DetectTurns)
        self._orders.put_nowait(order)
        if self._orders.qsize() > PIECES_AHEAD:
            self._room.clear()

    async def room(self) -> None:
        """Wait until most of what waits has been heard."""
        await self._room.wait()

    async def run(self) -> None:
        """Tells what is heard, until cancelled."""
        detect: DetectTurns | None = None
        activity: VoiceActivity | None = None
        while True:
            order = await self._orders.get()
            if isinstance(order, DetectTurns):
                detect, activity = order, None
                self._changes -= 1
            elif detect is not None and detect.settings is not None and not self._changes:
                activity = activity or VoiceActivity(detect.input_format, detect.settings, order.at_ms)
                for heard in await activity.hear(order.audio):
                    if not self._changes:
                        self._tell(heard)
            if self._orders.qsize() <= PIECES_AHEAD // 2:
                self._room.set()
