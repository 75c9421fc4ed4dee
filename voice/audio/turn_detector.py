"""Hears for turns in the background, in the order in which the audio came."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from core.tracebacks import place_of
from voice.audio.vad import Listener, VoiceActivity
from voice.protocol.commands import DetectTurns, Listen
from voice.protocol.runner_events import RunnerError, RunnerEvent

logger = logging.getLogger(__name__)

PIECES_AHEAD = 200  # waiting, above which no more is taken from the client
FAILED = "A piece of audio could not be searched for speech; turn detection starts afresh with the next one."


class Detector:
    def __init__(self, tell: Callable[[RunnerEvent], None], listener: Listener) -> None:
        self._tell, self._listener = tell, listener
        self._detect: DetectTurns | None = None
        self._activity: VoiceActivity | None = None
        self._is_failing = False
        self._orders: deque[DetectTurns | Listen] = deque()
        self._ordered = asyncio.Event()
        self._changes = 0  # orders to start afresh that wait: what is heard before them counts no more
        self._room = asyncio.Event()
        self._room.set()

    def order(self, order: DetectTurns | Listen) -> None:
        self._changes += isinstance(order, DetectTurns)
        self._orders.append(order)
        self._ordered.set()
        if len(self._orders) > PIECES_AHEAD:
            self._room.clear()

    async def room(self) -> None:
        """Wait until most of what waits has been heard."""
        await self._room.wait()

    async def run(self) -> None:
        """Tells what is heard, until cancelled. Where hearing fails, it goes on afresh with the next audio."""
        while True:
            await self._ordered.wait()
            order = self._orders.popleft()
            if isinstance(order, DetectTurns):
                self._detect, self._activity = order, None
                self._changes -= 1
            else:
                piece = self._with_what_follows(order)
                if not self._changes:
                    await self._listen(piece)
            if not self._orders:
                self._ordered.clear()
            if len(self._orders) <= PIECES_AHEAD // 2:
                self._room.set()

    def _with_what_follows(self, first: Listen) -> Listen:
        """All audio that waits, in one piece: who sends small ones faster than they are heard is not held up."""
        audio = [first.audio]
        while self._orders and isinstance(following := self._orders[0], Listen):
            audio.append(following.audio)
            self._orders.popleft()
        return Listen(b"".join(audio), first.at_ms)

    async def _listen(self, piece: Listen) -> None:
        if self._detect is None or self._detect.settings is None:
            return
        if self._activity is None:
            self._activity = VoiceActivity(
                self._listener, self._detect.input_format, self._detect.settings, piece.at_ms
            )
        try:
            found = await self._activity.hear(piece.audio)
        except Exception as error:
            self._activity = None
            self._note_failure(error)
            return
        self._is_failing = False
        for heard in found:
            if not self._changes:
                self._tell(heard)

    def _note_failure(self, error: Exception) -> None:
        """The client is told once, until something is heard again."""
        if not self._is_failing:
            logger.error("Turn detection failed with %s at\n%s", type(error).__name__, place_of(error))
            self._tell(RunnerError("turn_detection_failed", FAILED))
        self._is_failing = True
