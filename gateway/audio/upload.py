"""Uploaded audio: what it is, how long it is, and the same in a format that a model takes."""

import asyncio
import hashlib
import io
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from datasets.containers import CONTAINERS, Container, identify
from datasets.errors import AudioReason, AudioRefused
from datasets.probe import MIN_SECONDS
from datasets.probe_pool import probe_safely
from datasets.transcoding import as_flac, as_wav
from gateway.audio.wav import plain_wav_seconds
from providers.adapters.base import CapabilityNotSupported

WRITERS = {"flac": as_flac, "wav": as_wav}  # the smaller first


class UploadedAudio:
    """A file whose content was looked at. It is an `AudioSource`; close it when the request is over."""

    def __init__(self, file: BinaryIO, container: Container, duration: float, size: int) -> None:
        self._file = file
        self.container = container
        self.duration = duration  # seconds, by what is really there
        self.size = size  # bytes

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


async def ingest(file: BinaryIO) -> UploadedAudio:
    """Look at an uploaded file: an `io.BytesIO`, or a named temporary file, which is gone when it is closed.

    Plain WAV is measured by its header and its size, in microseconds; everything else is decoded from start to end in
    a process of its own, since headers lie and decoders crash. Raises AudioRefused; the file stays the caller's then.
    """
    container = identify(file)
    size = file.seek(0, io.SEEK_END)
    seconds = plain_wav_seconds(file, size) if container is CONTAINERS["wav"] else None
    if seconds is None:
        return await asyncio.to_thread(_measured, file, container, size)
    if seconds < MIN_SECONDS:
        message = f"The audio is {seconds:.2f} seconds long; it must be at least {MIN_SECONDS}."
        raise AudioRefused(AudioReason.TOO_SHORT, message)
    return UploadedAudio(file, container, seconds, size)


async def as_taken(audio: UploadedAudio, formats: Collection[str]) -> UploadedAudio:
    """The audio in one of `formats` (names of containers, or their file extensions; none: any will do).

    It is `audio` itself where that is one of them; otherwise a new one, which the caller closes too. Raises
    CapabilityNotSupported where nothing can be written that the model takes, and AudioRefused.
    """
    if not formats or {audio.container.name, audio.container.extension} & set(formats):
        return audio
    target = next((name for name in WRITERS if name in formats), None)
    if target is None:
        raise CapabilityNotSupported(
            f"The model takes {', '.join(formats)}, and this is {audio.container.name}. Convert the audio, or use "
            "another model."
        )
    file = await asyncio.to_thread(WRITERS[target], audio)
    return UploadedAudio(file, CONTAINERS[target], audio.duration, file.seek(0, io.SEEK_END))


def _measured(file: BinaryIO, container: Container, size: int) -> UploadedAudio:
    with _on_disk(file, container) as path:
        return UploadedAudio(file, container, probe_safely(path).duration, size)


@contextmanager
def _on_disk(file: BinaryIO, container: Container) -> Iterator[Path]:
    if not isinstance(file, io.BytesIO):
        file.flush()
        yield Path(file.name)
        return
    with tempfile.NamedTemporaryFile(suffix=f".{container.extension}") as copy:
        shutil.copyfileobj(io.BytesIO(file.getvalue()), cast(BinaryIO, copy))
        copy.flush()
        yield Path(copy.name)
