"""Reads stored audio, from disk or object storage."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from core.temporary import named_file
from datasets.models import Audio


class StoredAudio:
    """A sample's audio, opened only when it is read."""

    def __init__(self, audio: Audio) -> None:
        self._audio = audio

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, hex."""
        return self._audio.sha256

    @property
    def duration(self) -> float:
        """seconds"""
        return self._audio.duration

    @property
    def size(self) -> int:
        """bytes"""
        return self._audio.size

    @property
    def mime_type(self) -> str:
        return self._audio.mime_type

    def open(self) -> BinaryIO:
        """Open a new binary stream; the caller closes it."""
        file = self._audio.file
        return cast(BinaryIO, file.storage.open(str(file.name), "rb"))

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        """Yield a local file with the audio: the stored one, or a temporary copy."""
        try:
            path = Path(self._audio.file.path)
        except NotImplementedError:  # not stored on disk
            with self._copy() as copy:
                yield copy
        else:
            yield path

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        with named_file(Path(str(self._audio.file.name)).suffix) as copy:
            with self.open() as stream:
                shutil.copyfileobj(stream, copy)
            copy.flush()
            yield Path(copy.name)
