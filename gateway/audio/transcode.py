"""Streaming transcoder: converts speech from a provider to the encoding that the client asked for."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

from av.audio.frame import AudioFrame

from gateway.audio.decoders import decoder_of
from gateway.audio.encoders import SAMPLE_RATE, encoder_of
from providers.adapters.base import AudioEncoding, ProviderError, SpeechPart
from providers.reasons import Reason

PIECE = 8 * 1024  # bytes that are transcoded at once, so that a complete file is streamed too

Made = TypeVar("Made")

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="transcoding")


class Transcoder:
    """Transcodes one stream of audio piece by piece. Not thread-safe.

    A frame that cannot be decoded ends the stream with an error: no audio is left out silently.
    """

    def __init__(self, source: AudioEncoding, sample_rate: int, target: AudioEncoding) -> None:
        self._decoder = decoder_of(source, sample_rate)
        self._encoder = encoder_of(target)
        self._has_audio = False

    def feed(self, audio: bytes) -> bytes:
        """Decode these bytes; returns the output that is complete so far. Raises ProviderError."""
        return self._run(lambda: self._decoder.feed(audio))

    def end(self) -> bytes:
        """Return the rest of the output; call it once, at the end. Raises ProviderError, also if there was no audio."""
        rest = self._run(self._decoder.end)
        if not self._has_audio:
            raise _unreadable()
        return rest + self._encoder.end()

    def _run(self, decode: Callable[[], list[AudioFrame]]) -> bytes:
        try:
            frames = decode()
            out = b"".join([self._encoder.feed(frame) for frame in frames])
        except Exception as error:  # FFmpeg's bindings raise nearly anything on damaged bytes
            raise _unreadable() from error
        self._has_audio = self._has_audio or bool(frames)
        return out


async def in_encoding(parts: AsyncGenerator[SpeechPart, None], encoding: AudioEncoding) -> AsyncGenerator[bytes, None]:
    """Yield the stream in `encoding`: unchanged if it already is, else transcoded to 24 kHz mono.

    Parts are pulled one at a time (back-pressure). Closing this closes `parts`. Raises ProviderError.
    """
    transcoder: Transcoder | None = None
    async with aclosing(parts):
        async for part in parts:
            if transcoder is None and _is_in(part, encoding):
                if part.audio:
                    yield part.audio
                continue
            if transcoder is None:
                transcoder = await _in_thread(Transcoder, part.encoding, part.sample_rate, encoding)
            for start in range(0, len(part.audio), PIECE):
                if made := await _in_thread(transcoder.feed, part.audio[start : start + PIECE]):
                    yield made
    if transcoder is not None and (rest := await _in_thread(transcoder.end)):
        yield rest


def _is_in(part: SpeechPart, encoding: AudioEncoding) -> bool:
    return part.encoding == encoding and (encoding != "pcm" or part.sample_rate == SAMPLE_RATE)


async def _in_thread(function: Callable[..., Made], *arguments: object) -> Made:
    return await asyncio.get_running_loop().run_in_executor(_threads, function, *arguments)


def _unreadable() -> ProviderError:
    return ProviderError(Reason.PROVIDER_ERROR, "The provider's audio could not be decoded.", retryable=True)
