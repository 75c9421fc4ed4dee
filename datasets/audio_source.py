"""Stored audio as the rest of the house reads it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from core.temporary import named_file
from datasets.models import Audio


class StoredAudio:
    """The audio behind a sample, read from disk or object storage when it is wanted."""

    def __init__(self, audio: Audio) -> None:
        self._audio = audio

    @property
    def sha256(self) -> str:
        """Of the bytes, hex: the same for the same audio."""
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
        """A new binary stream from the start; the caller closes it."""
        file = self._audio.file
        return cast(BinaryIO, file.storage.open(str(file.name), "rb"))

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        """A file on this machine with the audio: the stored one, or a copy that is gone afterwards."""
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
