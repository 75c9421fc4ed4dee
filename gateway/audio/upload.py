"""Uploaded audio: its format and duration, and the conversion to a format that a model accepts."""

import asyncio
import hashlib
import io
import math
import shutil
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from core.temporary import named_file
from datasets.containers import CONTAINERS, Container, identify
from datasets.errors import AudioReason, InvalidAudio
from datasets.probe import MIN_SECONDS
from datasets.probe_pool import probe_safely, shared_pool
from datasets.transcoding import as_flac, as_wav
from gateway.audio.wav import plain_wav_seconds
from providers.adapters.base import CapabilityNotSupported

T = TypeVar("T")

WRITERS = {"flac": as_flac, "wav": as_wav}  # the format with the smaller files first


class UploadedAudio:
    """An `AudioSource` whose format and duration were determined from its content. The request closes it."""

    def __init__(self, file: BinaryIO, container: Container, duration: float, size: int, workspace_id: int) -> None:
        self._file = file
        self.container = container
        self.duration = duration  # seconds, as measured
        self.size = size  # bytes
        self.workspace_id = workspace_id

    @cached_property
    def sha256(self) -> str:
        """SHA-256 in hex; computed on demand, as few providers need it."""
        digest = hashlib.sha256()
        with self.open() as stream:
            while piece := stream.read(1024 * 1024):
                digest.update(piece)
        return digest.hexdigest()

    @property
    def mime_type(self) -> str:
        return self.container.mime_type

    @property
    def file_name(self) -> str:
        """A neutral name with the right extension, by which some providers detect the format. The client's own file
        name is kept private."""
        return f"audio.{self.container.extension}"

    def open(self) -> BinaryIO:
        if isinstance(self._file, io.BytesIO):
            return io.BytesIO(self._file.getvalue())  # shares the bytes
        return Path(self._file.name).open("rb")

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        with _on_disk(self._file, self.container) as path:
            yield path

    def close(self) -> None:
        self._file.close()


async def ingest(file: BinaryIO, *, workspace_id: int, max_seconds: float = math.inf) -> UploadedAudio:
    """Determine format and duration of an uploaded file: an `io.BytesIO` or a named temporary file.

    Plain WAV is measured by its header and its size, which takes microseconds; all else is decoded completely in a
    child process, as headers may be wrong and decoders may crash. Raises InvalidAudio, also above `max_seconds`; the
    caller closes the file then, else the returned object owns it.
    """
    container = identify(file)
    size = file.seek(0, io.SEEK_END)
    seconds = plain_wav_seconds(file, size) if container is CONTAINERS["wav"] else None
    if seconds is None:
        seconds = await _in_own_thread(partial(_measured, file, container, workspace_id, max_seconds))
    if seconds > max_seconds:
        raise InvalidAudio(AudioReason.TOO_LONG, f"The audio is longer than {max_seconds:.0f} seconds. Cut it.")
    if seconds < MIN_SECONDS:
        message = f"The audio is {seconds:.2f} seconds long; it must be at least {MIN_SECONDS}."
        raise InvalidAudio(AudioReason.TOO_SHORT, message)
    return UploadedAudio(file, container, seconds, size, workspace_id)


async def in_accepted_format(audio: UploadedAudio, formats: Collection[str]) -> UploadedAudio:
    """Return the audio in one of `formats` (names of containers or file extensions; empty: any).

    It is `audio` itself if it is in one of them, else a transcoded copy, which the caller closes as well. Raises
    CapabilityNotSupported if none of the formats can be written, and InvalidAudio.
    """
    if not formats or {audio.container.name, audio.container.extension} & set(formats):
        return audio
    target = next((name for name in WRITERS if name in formats), None)
    if target is None:
        raise CapabilityNotSupported(
            f"The model takes {', '.join(formats)}, and this is {audio.container.name}. Convert the audio, or use "
            "another model."
        )
    file = await _in_own_thread(partial(_transcoded, audio, target))
    size = file.seek(0, io.SEEK_END)
    return UploadedAudio(file, CONTAINERS[target], audio.duration, size, audio.workspace_id)


def _measured(file: BinaryIO, container: Container, workspace_id: int, max_seconds: float) -> float:
    """Return the duration in seconds."""
    with _on_disk(file, container) as path:
        return probe_safely(path, workspace_id=workspace_id, max_seconds=max_seconds).duration


def _transcoded(audio: UploadedAudio, target: str) -> BinaryIO:
    with shared_pool().turn(audio.workspace_id, audio.size):
        return WRITERS[target](audio)


async def _in_own_thread(function: Callable[[], T]) -> T:
    """Run `function` in a new thread: it may wait for minutes, and the event loop's default pool is small."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="measuring")
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, function)
    finally:
        thread.shutdown(wait=False)


@contextmanager
def _on_disk(file: BinaryIO, container: Container) -> Iterator[Path]:
    if not isinstance(file, io.BytesIO):
        file.flush()
        yield Path(file.name)
        return
    with named_file(f".{container.extension}") as copy:
        shutil.copyfileobj(io.BytesIO(file.getvalue()), cast(BinaryIO, copy))
        copy.flush()
        yield Path(copy.name)
