"""Carries out a session's commands, and reports their progress to it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from core.tracebacks import place_of
from voice.audio.turn_detector import TurnDetector
from voice.audio.vad import vad_thread
from voice.models import RealtimeTurn
from voice.protocol import commands
from voice.protocol.runner_events import RunnerEvent
from voice.protocol.wire import Step, Wire
from voice.provider_calls import Caller
from voice.respond import Answer
from voice.send_queue import SendQueue
from voice.transcribe import transcribe
from voice.turn_metrics import TurnLog

logger = logging.getLogger(__name__)

Status = RealtimeTurn.Status


class Runner:
    """Runs one session, in one event loop. All its tasks have ended when `stop` returns."""

    def __init__(self, wire: Wire, caller: Caller, send_queue: SendQueue) -> None:
        self._wire, self._caller, self._send_queue = wire, caller, send_queue
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._spoken: TurnLog | None = None  # of speech that no response answers yet
        self._detector = TurnDetector(self.tell, vad_thread())
        self.errors = 0  # number of error events sent

    def start(self) -> None:
        self._begin("detector", self._detector.run())
        self._take(self._wire.start())

    async def text(self, frame: str) -> None:
        """Handle a client's text frame; returns when the next one may be read."""
        self._take(self._wire.text(frame))
        await self._detector.room()

    async def audio(self, frame: bytes) -> None:
        """Handle a client's binary frame; returns when the next one may be read."""
        self._take(self._wire.audio(frame))
        await self._detector.room()

    def tell(self, event: RunnerEvent) -> None:
        """Report an event to the session."""
        self._take(self._wire.runner_event(event))

    @property
    def is_busy(self) -> bool:
        """Whether a transcription or a response is in progress."""
        return len(self._tasks) > 1

    async def stop(self) -> None:
        """Cancel all tasks, and save the metrics of unfinished turns."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end_unanswered()

    def _take(self, step: Step) -> None:
        for frame in step.frames:
            self.errors += frame.startswith('{"type":"error"')
            self._send_queue.put(frame)
        for command in step.commands:
            self._do(command)

    def _do(self, command: commands.Command) -> None:
        match command:
            case commands.DetectTurns() | commands.Listen():
                self._detector.command(command)
            case commands.Transcribe(item_id=item_id, content_index=index):
                self._begin((item_id, index), self._transcribe(command))
            case commands.CancelTranscription(item_id=item_id, content_index=index):
                self._cancel((item_id, index))
            case commands.StartResponse(response_id=response_id):
                self._begin(response_id, self._answer(command))
            case commands.CancelResponse(response_id=response_id):
                self._cancel(response_id)
            case commands.Close():
                self._send_queue.close(command)

    def _begin(self, name: object, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._ended(name, task))

    def _ended(self, name: object, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and (error := task.exception()):
            # asyncio would log the error's text, which may contain what was said.
            logger.error("A realtime session failed with %s at\n%s", type(error).__name__, place_of(error))

    def _cancel(self, name: object) -> None:
        if task := self._tasks.get(name):
            task.cancel()

    async def _transcribe(self, command: commands.Transcribe) -> None:
        log = TurnLog(self._caller.session_id)
        await self._end_unanswered()
        self._spoken = log
        problem = await transcribe(self._caller, command, log, self.tell)
        if problem is not None and self._spoken is log:
            self._spoken = None
            await log.end(Status.FAILED, problem.code)

    async def _answer(self, command: commands.StartResponse) -> None:
        log, self._spoken = self._spoken or TurnLog(self._caller.session_id), None
        answer = Answer(self._caller, command, log, self.tell, self._send_queue.room)
        try:
            problem = await answer.run()
        except asyncio.CancelledError:
            await log.end(Status.CANCELLED)
            raise
        if problem is not None:
            await log.end(Status.FAILED, problem.code)
        else:
            await log.end(Status.INCOMPLETE if answer.incomplete else Status.COMPLETED)

    async def _end_unanswered(self) -> None:
        log, self._spoken = self._spoken, None
        if log is not None:
            is_whole = log.row.transcribed_after is not None
            await log.end(Status.COMPLETED if is_whole else Status.CANCELLED)
