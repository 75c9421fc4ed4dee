"""Where speech begins and ends in audio as it comes (server_vad)."""

import asyncio
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from gateway.realtime import sound
from gateway.realtime.silero import FRAME, RATE, Floats, Memory, silero

FRAME_MS = FRAME * 1000 // RATE
FRAMES_OF_SPEECH = 2  # in a row begin it: a click is shorter
HYSTERESIS = 0.15  # below the threshold by this much it is silence: voices waver


@dataclass(frozen=True)
class SpeechEdge:
    """A beginning or an end of speech."""

    kind: Literal["started", "stopped"]
    at_ms: int  # of all audio of the session; a beginning with the padding before it, an end with the silence after it


@dataclass(frozen=True)
class VadSettings:
    """As in the protocol's `server_vad`."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


class Endpointer:
    """Finds the edges in probabilities of speech, one for each frame of 32 ms."""

    def __init__(self, settings: VadSettings, start_ms: int = 0) -> None:
        """`start_ms`: where in the session's audio the first frame begins."""
        self.settings = settings
        self.is_speech = False
        self._start_ms = start_ms
        self._frames = 0
        self._run = 0  # frames of speech in a row; in speech: frames of silence in a row

    def push(self, probabilities: Sequence[float]) -> list[SpeechEdge]:
        return [edge for probability in probabilities if (edge := self._next(probability))]

    def _next(self, probability: float) -> SpeechEdge | None:
        self._frames += 1
        now = self._start_ms + self._frames * FRAME_MS
        if self.is_speech:
            silent = probability < max(self.settings.threshold - HYSTERESIS, 0.01)
            self._run = self._run + 1 if silent else 0
            if self._run and self._run * FRAME_MS >= self.settings.silence_duration_ms:
                return self._turn("stopped", now)
        else:
            self._run = self._run + 1 if probability >= self.settings.threshold else 0
            if self._run >= FRAMES_OF_SPEECH:
                begun = now - self._run * FRAME_MS - self.settings.prefix_padding_ms
                return self._turn("started", max(begun, self._start_ms))
        return None

    def _turn(self, kind: Literal["started", "stopped"], at_ms: int) -> SpeechEdge:
        self.is_speech, self._run = kind == "started", 0
        return SpeechEdge(kind, at_ms)


class _Stream:
    """One session's audio on its way to the model; touched by the listening thread alone."""

    def __init__(self, encoding: sound.Encoding) -> None:
        self.memory = Memory()
        self._encoding = encoding
        self._resampler = sound.Resampler(sound.RATES[encoding], RATE)
        self._waiting = np.zeros(0, np.int16)

    def frames(self, audio: bytes) -> Floats:
        """The frames that `audio` completes, [n, 512]."""
        samples = self._resampler.push(sound.decode(audio, self._encoding))
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // FRAME * FRAME
        frames, self._waiting = self._waiting[:whole], self._waiting[whole:]
        return (frames.astype(np.float32) / np.float32(32_768)).reshape(-1, FRAME)


@dataclass
class _Piece:
    stream: _Stream
    audio: bytes
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[list[float]]"

    def give(self, probabilities: list[float]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._give, probabilities)

    def _give(self, probabilities: list[float]) -> None:
        if not self.answer.done():
            self.answer.set_result(probabilities)


class Listener:
    """The thread that hears for all sessions of a process: whatever waits when it is free goes through at once."""

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="listener", daemon=True).start()

    async def probabilities(self, stream: _Stream, audio: bytes) -> list[float]:
        """Of the frames that `audio` completes. One call at a time for each stream."""
        loop = asyncio.get_running_loop()
        piece = _Piece(stream, audio, loop, loop.create_future())
        self._pieces.put(piece)
        return await piece.answer

    def _listen(self) -> None:
        while True:
            pieces = [self._pieces.get()]
            while not self._pieces.empty():
                pieces.append(self._pieces.get())
            streams = [(piece.stream.frames(piece.audio), piece.stream.memory) for piece in pieces]
            with_frames = [stream for stream in streams if len(stream[0])]
            answers = iter(silero().probabilities(with_frames) if with_frames else [])
            for piece, (frames, _) in zip(pieces, streams, strict=True):
                piece.give(next(answers) if len(frames) else [])


@cache
def listener() -> Listener:
    """The one of this process."""
    return Listener()


class VoiceActivity:
    """What is heard in one session's audio."""

    def __init__(self, encoding: sound.Encoding, settings: VadSettings, start_ms: int = 0) -> None:
        """`start_ms`: how much audio of the session came before."""
        self._stream = _Stream(encoding)
        self._endpointer = Endpointer(settings, start_ms)

    def change(self, settings: VadSettings) -> None:
        """From the next frame on."""
        self._endpointer.settings = settings

    async def hear(self, audio: bytes) -> list[SpeechEdge]:
        """The edges in the next piece of audio. One call at a time, in the audio's order."""
        return self._endpointer.push(await listener().probabilities(self._stream, audio))
