"""A turn's audio as adapters take it."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from gateway.realtime import sound
from gateway.realtime.core.config import AudioFormat


class SpokenAudio:
    """An `AudioSource` of what a client has said, as a WAV file in memory."""

    mime_type = "audio/wav"

    def __init__(self, audio: bytes, audio_format: AudioFormat) -> None:
        self.duration = sound.seconds(audio, audio_format)
        self._file = sound.wav(sound.decode(audio, audio_format), audio_format.sample_rate)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self._file).hexdigest()

    @property
    def size(self) -> int:
        return len(self._file)

    def open(self) -> BinaryIO:
        return io.BytesIO(self._file)

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(self._file)
            file.flush()
            yield Path(file.name)
