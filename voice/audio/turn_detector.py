"""Detects turns in a session's audio, in a background task and in the audio's order."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from core.tracebacks import place_of
from voice.audio.vad import VadThread, VoiceActivity
from voice.protocol.commands import DetectTurns, Listen
from voice.protocol.runner_events import RunnerError, RunnerEvent

logger = logging.getLogger(__name__)

PIECES_AHEAD = 200  # queued pieces of audio above which no more is read from the client
FAILED = "A piece of audio could not be searched for speech; turn detection starts afresh with the next one."


class TurnDetector:
    """The queue of one session's audio, and the task that searches it for speech."""

    def __init__(self, tell: Callable[[RunnerEvent], None], vad_thread: VadThread) -> None:
        self._tell, self._vad_thread = tell, vad_thread
        self._detect: DetectTurns | None = None
        self._activity: VoiceActivity | None = None
        self._is_failing = False
        self._commands: deque[DetectTurns | Listen] = deque()
        self._queued = asyncio.Event()
        self._restarts = 0  # DetectTurns commands in the queue: what is found in the audio before them is dropped
        self._room = asyncio.Event()
        self._room.set()

    def command(self, command: DetectTurns | Listen) -> None:
        """Queue a command; commands are done in order."""
        self._restarts += isinstance(command, DetectTurns)
        self._commands.append(command)
        self._queued.set()
        if len(self._commands) > PIECES_AHEAD:
            self._room.clear()

    async def room(self) -> None:
        """Wait until at most half of PIECES_AHEAD is queued."""
        await self._room.wait()

    async def run(self) -> None:
        """Report speech and silence, until cancelled. After a failure, detection starts afresh with the next audio."""
        while True:
            await self._queued.wait()
            command = self._commands.popleft()
            if isinstance(command, DetectTurns):
                self._detect, self._activity = command, None
                self._restarts -= 1
            else:
                piece = self._merged_with_queued(command)
                if not self._restarts:
                    await self._listen(piece)
            if not self._commands:
                self._queued.clear()
            if len(self._commands) <= PIECES_AHEAD // 2:
                self._room.set()

    def _merged_with_queued(self, first: Listen) -> Listen:
        """Join all queued audio into one piece, so that many small pieces do not hold up their sender."""
        audio = [first.audio]
        while self._commands and isinstance(following := self._commands[0], Listen):
            audio.append(following.audio)
            self._commands.popleft()
        return Listen(b"".join(audio), first.at_ms)

    async def _listen(self, piece: Listen) -> None:
        if self._detect is None or self._detect.settings is None:
            return
        if self._activity is None:
            self._activity = VoiceActivity(
                self._vad_thread, self._detect.input_format, self._detect.settings, piece.at_ms
            )
        try:
            found = await self._activity.hear(piece.audio)
        except Exception as error:
            self._activity = None
            self._note_failure(error)
            return
        self._is_failing = False
        for heard in found:
            if not self._restarts:
                self._tell(heard)

    def _note_failure(self, error: Exception) -> None:
        """Log the failure and report it to the client once, until detection works again."""
        if not self._is_failing:
            logger.error("Turn detection failed with %s at\n%s", type(error).__name__, place_of(error))
            self._tell(RunnerError("turn_detection_failed", FAILED))
        self._is_failing = True
