"""Voice activity detection (server_vad): finds where speech starts and ends in streamed audio."""

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from voice.audio import pcm
from voice.audio.silero import FRAME, RATE, Floats, Memory
from voice.audio.silero_process import SileroProcess
from voice.protocol.config import AudioFormat, TurnDetection
from voice.protocol.runner_events import SilenceHeard, SpeechStarted, SpeechStopped

FRAME_MS = FRAME * 1000 / RATE
PACE = 0.01  # seconds from one batch to the next: ten pieces one by one cost five times as much as together
LONGEST_MS = 1000  # of one session in a batch, while the others wait
FRAMES_OF_SPEECH = 2  # in a row that start speech: a click is shorter
HYSTERESIS = 0.15  # speech ends this much below the threshold, as probabilities waver

Heard = SilenceHeard | SpeechStarted | SpeechStopped


class Endpointer:
    """Finds the start and end of speech in its probabilities, one per frame of 32 ms."""

    def __init__(self, settings: TurnDetection, start_ms: float) -> None:
        """`start_ms`: the position of the first frame in the session's audio."""
        self._settings = settings
        self._now = start_ms
        self._is_speech = False
        self._run = 0  # outside speech: frames of speech in a row; in speech: frames of silence in a row

    def push(self, probabilities: Sequence[float]) -> list[Heard]:
        heard: list[Heard] = [edge for probability in probabilities if (edge := self._next(probability))]
        if probabilities and not self._is_speech:
            heard.append(SilenceHeard(self._now - self._run * FRAME_MS))
        return heard

    def _next(self, probability: float) -> SpeechStarted | SpeechStopped | None:
        self._now += FRAME_MS
        if self._is_speech:
            silent = probability < max(self._settings.threshold - HYSTERESIS, 0.01)
            self._run = self._run + 1 if silent else 0
            if self._run and self._run * FRAME_MS >= self._settings.silence_duration_ms:
                self._is_speech, self._run = False, 0
                return SpeechStopped(self._now)
        else:
            self._run = self._run + 1 if probability >= self._settings.threshold else 0
            if self._run >= FRAMES_OF_SPEECH:
                begun, self._is_speech, self._run = self._now - self._run * FRAME_MS, True, 0
                return SpeechStarted(begun)
        return None


class _Stream:
    """Cuts one session's audio into the model's frames; used by the VAD thread only."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.memory = Memory()
        self._format = audio_format
        self._resampler = pcm.Resampler(audio_format.sample_rate, RATE)
        self._waiting = np.zeros(0, np.int16)

    def frames(self, audio: bytes) -> Floats:
        """Append audio and return the frames that it completes, [n, 512]."""
        samples = self._resampler.push(pcm.decode(audio, self._format))
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // FRAME * FRAME
        frames, self._waiting = self._waiting[:whole], self._waiting[whole:]
        return (frames.astype(np.float32) / np.float32(32_768)).reshape(-1, FRAME)


class Model(Protocol):
    def probabilities(self, streams: Sequence[tuple[Floats, Memory]]) -> list[list[float]]:
        """As `Silero.probabilities`."""


@dataclass
class _Piece:
    stream: _Stream
    audio: bytes
    answer: "asyncio.Future[list[float]]"


Answer = list[float] | Exception


class VadThread:
    """The thread that runs the model for all sessions of a process: each batch is all the audio that is queued."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="voice-activity", daemon=True).start()

    async def probabilities(self, stream: _Stream, audio: bytes) -> list[float]:
        """Return the probability of speech for each frame that `audio` completes. One call at a time per stream.

        Raises whatever the decoder or the model raises; the stream cannot be used afterwards.
        """
        answer: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._pieces.put(_Piece(stream, audio, answer))
        return await answer

    def _listen(self) -> None:
        while True:
            pieces = [self._pieces.get()]
            begun = time.monotonic()
            while not self._pieces.empty():
                pieces.append(self._pieces.get())
            _deliver(pieces, self._heard(pieces))
            del pieces  # else the last batch stays in memory until the next one
            time.sleep(max(begun + PACE - time.monotonic(), 0))

    def _heard(self, pieces: Sequence[_Piece]) -> list[Answer]:
        """Return the probabilities of each piece; if the model fails, its error for all pieces of this batch."""
        try:
            frames = [piece.stream.frames(piece.audio) for piece in pieces]
            streams = [(each, piece.stream.memory) for each, piece in zip(frames, pieces, strict=True) if len(each)]
            found = iter(self._model.probabilities(streams) if streams else [])
            return [next(found) if len(each) else [] for each in frames]
        except Exception as error:
            return [error for _ in pieces]


def _deliver(pieces: Sequence[_Piece], answers: Sequence[Answer]) -> None:
    """Set the answers, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Piece, Answer]]] = {}
    for piece, answer in zip(pieces, answers, strict=True):
        by_loop.setdefault(piece.answer.get_loop(), []).append((piece, answer))
    for loop, answered in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_give, answered)


def _give(answered: Sequence[tuple[_Piece, Answer]]) -> None:
    for piece, answer in answered:
        if piece.answer.done():  # cancelled
            continue
        if isinstance(answer, Exception):
            piece.answer.set_exception(answer)
        else:
            piece.answer.set_result(answer)


@cache
def vad_thread() -> VadThread:
    """Return the process's only VAD thread."""
    return VadThread(SileroProcess())


class VoiceActivity:
    """Detects speech in a session's audio, from a given position on."""

    def __init__(
        self, vad_thread: VadThread, audio_format: AudioFormat, settings: TurnDetection, start_ms: float
    ) -> None:
        """`start_ms`: the position of the first audio in the session."""
        self._vad_thread = vad_thread
        self._longest = LONGEST_MS * audio_format.bytes_per_ms
        self._stream = _Stream(audio_format)
        self._endpointer = Endpointer(settings, start_ms)

    async def hear(self, audio: bytes) -> list[Heard]:
        """Return what the next piece of audio leads to. One call at a time, in the audio's order.

        Raises whatever the decoder or the model raises; this object cannot be used afterwards.
        """
        heard = []
        for at in range(0, len(audio), self._longest):
            piece = audio[at : at + self._longest]
            heard += self._endpointer.push(await self._vad_thread.probabilities(self._stream, piece))
        return heard
