"""Speech on its way from a provider to whoever asked for it, in the encoding that was asked for."""

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

PIECE = 8 * 1024  # bytes that are transcoded in one go: a whole file at once still comes out as a stream

Made = TypeVar("Made")

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="transcoding")


class Transcoder:
    """One stream of audio, turned into another encoding piece by piece. For one thread at a time.

    A frame that cannot be decoded ends the stream: sound that is silently left out would pass for the model's.
    """

    def __init__(self, source: AudioEncoding, sample_rate: int, target: AudioEncoding) -> None:
        self._decoder = decoder_of(source, sample_rate)
        self._encoder = encoder_of(target)
        self._heard = False

    def feed(self, audio: bytes) -> bytes:
        """What can be played after these bytes, and could not before them. Raises ProviderError."""
        return self._run(lambda: self._decoder.feed(audio))

    def end(self) -> bytes:
        """The rest. Nothing is fed afterwards. Raises ProviderError, also where there was no sound at all."""
        rest = self._run(self._decoder.end)
        if not self._heard:
            raise _unreadable()
        return rest + self._encoder.end()

    def _run(self, decode: Callable[[], list[AudioFrame]]) -> bytes:
        try:
            frames = decode()
            out = b"".join([self._encoder.feed(frame) for frame in frames])
        except Exception as error:  # FFmpeg's bindings raise nearly anything on damaged bytes
            raise _unreadable() from error
        self._heard = self._heard or bool(frames)
        return out


async def in_encoding(parts: AsyncGenerator[SpeechPart, None], encoding: AudioEncoding) -> AsyncGenerator[bytes, None]:
    """The stream in `encoding`, as it comes: untouched where it is in that already, else made into 24 kHz mono.

    The next part is only asked for when what was made of the last one was taken. Closing this closes `parts`.
    Raises ProviderError.
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
