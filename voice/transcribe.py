"""Transcribes the speech of one turn."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from core.temporary import named_file
from core.text import whole_letters
from gateway.catalog import ModelTarget
from providers.adapters.base import (
    StreamingTranscriber,
    Transcription,
    TranscriptionPart,
    TranscriptionRequest,
    as_transcriber,
)
from voice.audio import pcm
from voice.protocol.commands import Transcribe
from voice.protocol.config import AudioFormat
from voice.protocol.runner_events import RunnerEvent, Transcribed, TranscriptionDelta, TranscriptionFailed
from voice.provider_calls import Caller, Problem, first_that_answers, problem_of
from voice.turn_metrics import TurnLog


class TurnAudio:
    """An `AudioSource`: the audio of a turn as a WAV file in memory."""

    mime_type = "audio/wav"

    def __init__(self, audio: bytes, audio_format: AudioFormat) -> None:
        self.duration = pcm.seconds(audio, audio_format)
        self._file = pcm.wav(pcm.decode(audio, audio_format), audio_format.sample_rate)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self._file).hexdigest()

    @property
    def size(self) -> int:
        return len(self._file)

    def open(self) -> BinaryIO:
        return io.BytesIO(self._file)

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        with named_file(".wav") as file:
            file.write(self._file)
            file.flush()
            yield Path(file.name)


LARGE = 1024 * 1024  # bytes; more audio is converted in a thread, as it would delay other sessions


async def transcribe(
    caller: Caller, command: Transcribe, log: TurnLog, tell: Callable[[RunnerEvent], None]
) -> Problem | None:
    """Transcribe a turn and report the text as it comes; return why it failed, or None."""
    try:
        audio = await _source(command)
        log.heard(command.stt_model, audio.duration)
        await _transcribe(caller, command, audio, log, tell)
    except Exception as error:
        problem = problem_of(error, command.stt_model)
        tell(TranscriptionFailed(command.item_id, command.content_index, problem.code, problem.message))
        return problem
    return None


async def _source(command: Transcribe) -> TurnAudio:
    if len(command.audio) < LARGE:
        return TurnAudio(command.audio, command.input_format)
    return await asyncio.to_thread(TurnAudio, command.audio, command.input_format)


async def _transcribe(
    caller: Caller, command: Transcribe, audio: TurnAudio, log: TurnLog, tell: Callable[[RunnerEvent], None]
) -> None:
    """Raises ApiError and ProviderError."""
    targets = caller.catalog.find_for("stt", command.stt_model)
    await caller.authenticate()
    request = TranscriptionRequest(audio, language=command.language, prompt=command.prompt)
    where = (command.item_id, command.content_index)
    final = Transcription("", None)
    async with caller.metered("stt", command.stt_model) as usage:
        usage.audio_seconds = audio.duration
        async with aclosing(first_that_answers(usage, targets, lambda target: _parts(target, request))) as parts:
            async for part in parts:
                if part.delta:
                    tell(TranscriptionDelta(*where, whole_letters(part.delta)))
                if part.final is not None:
                    final = part.final
        usage.input_tokens, usage.output_tokens = final.input_tokens, final.output_tokens
        log.transcribed()
        # Before the usage is settled, so that the response does not wait for it.
        text = whole_letters(final.text)
        tell(Transcribed(*where, text, audio.duration, final.input_tokens, final.output_tokens))


async def _parts(target: ModelTarget, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionPart, None]:
    """Stream the transcript, in one piece if the model cannot stream."""
    request = replace(request, prompt=target.prompt(request.prompt))
    if not isinstance(target.adapter, StreamingTranscriber):
        yield TranscriptionPart(final=await as_transcriber(target.adapter).transcribe(target.config, request))
        return
    async with aclosing(target.adapter.stream_transcription(target.config, request)) as parts:
        async for part in parts:
            yield part
