"""Where speech begins and ends in audio as it comes (server_vad)."""

import asyncio
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np

from gateway.realtime import sound
from gateway.realtime.core.config import AudioFormat, TurnDetection
from gateway.realtime.core.happenings import SilenceHeard, SpeechStarted, SpeechStopped
from gateway.realtime.silero import FRAME, RATE, Floats, Memory, silero

FRAME_MS = FRAME * 1000 / RATE
FRAMES_OF_SPEECH = 2  # in a row begin it: a click is shorter
HYSTERESIS = 0.15  # below the threshold by this much it is silence: voices waver

Heard = SilenceHeard | SpeechStarted | SpeechStopped


class Endpointer:
    """Finds where speech begins and ends in probabilities of it, one for each frame of 32 ms."""

    def __init__(self, settings: TurnDetection, start_ms: float) -> None:
        """`start_ms`: where in the session's audio the first frame begins."""
        self._settings = settings
        self._now = start_ms
        self._is_speech = False
        self._run = 0  # frames of speech in a row; in speech: frames of silence in a row

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
    """One session's audio on its way to the model; touched by the listening thread alone."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.memory = Memory()
        self._format = audio_format
        self._resampler = sound.Resampler(audio_format.sample_rate, RATE)
        self._waiting = np.zeros(0, np.int16)

    def frames(self, audio: bytes) -> Floats:
        """The frames that `audio` completes, [n, 512]."""
        samples = self._resampler.push(sound.decode(audio, self._format))
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
    """What is heard in a session's audio from some point of it on."""

    def __init__(self, audio_format: AudioFormat, settings: TurnDetection, start_ms: float) -> None:
        """`start_ms`: how much audio of the session came before."""
        self._stream = _Stream(audio_format)
        self._endpointer = Endpointer(settings, start_ms)

    async def hear(self, audio: bytes) -> list[Heard]:
        """What the next piece of audio says. One call at a time, in the audio's order."""
        return self._endpointer.push(await listener().probabilities(self._stream, audio))
