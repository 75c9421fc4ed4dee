"""Uploaded audio: what it is, how long it is, and the same in a format that a model takes."""

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

WRITERS = {"flac": as_flac, "wav": as_wav}  # the smaller first


class UploadedAudio:
    """A file whose content was looked at. It is an `AudioSource`; close it when the request is over."""

    def __init__(self, file: BinaryIO, container: Container, duration: float, size: int, workspace_id: int) -> None:
        self._file = file
        self.container = container
        self.duration = duration  # seconds, by what is really there
        self.size = size  # bytes
        self.workspace_id = workspace_id

    @cached_property
    def sha256(self) -> str:
        """Read when asked for: few providers care."""
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
        """For providers that tell the format by it. The caller's own name is nobody's business."""
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
    """Look at an uploaded file: an `io.BytesIO`, or a named temporary file, which is gone when it is closed.

    Plain WAV is measured by its header and its size, in microseconds; everything else is decoded from start to end in
    a process of its own, since headers lie and decoders crash. Raises InvalidAudio, also where the audio is longer
    than `max_seconds`; the file stays the caller's then.
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


async def as_taken(audio: UploadedAudio, formats: Collection[str]) -> UploadedAudio:
    """The audio in one of `formats` (names of containers, or their file extensions; none: any will do).

    It is `audio` itself where that is one of them; otherwise a new one, which the caller closes too. Raises
    CapabilityNotSupported where nothing can be written that the model takes, and InvalidAudio.
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
    """Seconds."""
    with _on_disk(file, container) as path:
        return probe_safely(path, workspace_id=workspace_id, max_seconds=max_seconds).duration


def _transcoded(audio: UploadedAudio, target: str) -> BinaryIO:
    with shared_pool().turn(audio.workspace_id, audio.size):
        return WRITERS[target](audio)


async def _in_own_thread(function: Callable[[], T]) -> T:
    """What `function` returns. It may wait for minutes, and the threads that the event loop has are few."""
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
