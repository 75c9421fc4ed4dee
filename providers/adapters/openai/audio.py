"""The audio file of a request: as it is stored, or transcoded if the model does not accept it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, BinaryIO, cast

from core.temporary import named_file
from providers.adapters.base import AudioSource, ModelConfig, ProviderError
from providers.engines.pool import shared_pool
from providers.engines.process import EngineSpec
from providers.engines.transcoder import FORMATS
from providers.reasons import Reason

File = tuple[str, BinaryIO, str]  # name, stream, MIME type: as the SDK takes it

# container, as in the option `audio_formats` -> its extension, by which servers detect it, and its MIME types
CONTAINERS: dict[str, tuple[str, str, set[str]]] = {
    "wav": ("wav", "audio/wav", {"audio/x-wav", "audio/wave", "audio/vnd.wave"}),
    "mp3": ("mp3", "audio/mpeg", {"audio/mp3"}),
    "flac": ("flac", "audio/flac", {"audio/x-flac"}),
    "mp4": ("m4a", "audio/mp4", {"audio/x-m4a", "audio/m4a", "video/mp4"}),
    "ogg": ("ogg", "audio/ogg", {"audio/opus", "application/ogg", "audio/vorbis"}),
    "webm": ("webm", "audio/webm", {"video/webm"}),
    "aac": ("aac", "audio/aac", {"audio/aacp"}),
    "aiff": ("aiff", "audio/aiff", {"audio/x-aiff"}),
    "amr": ("amr", "audio/amr", set()),
    "caf": ("caf", "audio/x-caf", set()),
    "matroska": ("mka", "audio/x-matroska", {"video/x-matroska"}),
    "w64": ("w64", "audio/x-w64", set()),
}
WRITE_SECONDS = 60.0  # seconds to transcode a short file; a tenth of the duration is added


@asynccontextmanager
async def audio_file(model: ModelConfig, audio: AudioSource) -> AsyncIterator[File]:
    """Yield the file for the SDK, which reads it sequentially. Raises ProviderError, and OSError."""
    if model.max_audio_seconds is not None and audio.duration > model.max_audio_seconds:
        message = f"The audio is {audio.duration:.0f} s long, and the model takes {model.max_audio_seconds:.0f} s."
        raise ProviderError(Reason.AUDIO_TOO_LONG, message)
    taken = model.options.get("audio_formats") or []
    container = container_of(audio.mime_type)
    too_large = model.max_audio_bytes is not None and audio.size > model.max_audio_bytes
    if too_large or (taken and container not in taken):
        stream, container = await _transcoded(audio, model, taken)
    else:
        stream = await _in_thread(lambda: _opened(audio))
    extension, mime_type, _ = CONTAINERS.get(container, ("bin", audio.mime_type, set()))
    try:
        yield f"audio.{extension}", stream, mime_type
    finally:
        stream.close()


def container_of(mime_type: str) -> str:
    """Return the container of a MIME type, as in `audio_formats`; empty if it is unknown."""
    bare = mime_type.partition(";")[0].strip().lower()
    return next((name for name, (_, usual, others) in CONTAINERS.items() if bare == usual or bare in others), "")


def _opened(audio: AudioSource) -> BinaryIO:
    """Open the audio. Object storage downloads it at the first access, here and not in the event loop."""
    stream = audio.open()
    try:
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream


async def _transcoded(audio: AudioSource, model: ModelConfig, taken: list[str]) -> tuple[BinaryIO, str]:
    """Transcode to a temporary file, which is deleted when it is closed; returns it with its container."""
    formats = [name for name in FORMATS if not taken or name in taken]
    if not formats:
        message = f"The model takes {', '.join(taken)}, and the audio is {audio.mime_type}; it cannot be converted."
        raise ProviderError(Reason.UNSUPPORTED_FORMAT, message)
    target = named_file()
    try:
        answer, _ = await shared_pool().ask(
            EngineSpec.of("providers.engines.transcoder", {}),
            _request(audio, target.name, formats, model.max_audio_bytes),
            time_limit=WRITE_SECONDS + audio.duration / 10,
        )
    except BaseException:
        target.close()
        raise
    return cast(BinaryIO, target), answer["format"]


@contextmanager
def _request(audio: AudioSource, target: str, formats: list[str], max_bytes: int | None) -> Iterator[dict[str, Any]]:
    with audio.local_path() as source:
        yield {
            "source": str(source),
            "target": target,
            "formats": formats,
            "max_bytes": max_bytes,
            "seconds": audio.duration,
        }


async def _in_thread(open_stream: Callable[[], BinaryIO]) -> BinaryIO:
    """Open the stream in another thread; if the caller is cancelled meanwhile, close it."""
    opening = asyncio.get_running_loop().run_in_executor(None, open_stream)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda future: future.exception() or future.result().close())
        raise
