"""What every provider kind offers to the rest of the house.

An adapter is made from a `ProviderConfig` and holds no database row, so that it may be used in any thread or event loop
of the process that made it, and in no other process.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from providers.reasons import Reason


class ProviderError(Exception):
    """A call failed. `str(error)` is for a person, and holds no audio, text or key."""

    def __init__(self, reason: Reason, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable


class CapabilityNotSupported(ProviderError):  # noqa: N818
    """The provider, or this model of it, cannot do what was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CAPABILITY_NOT_SUPPORTED, message)


@dataclass(frozen=True)
class ProviderConfig:
    """A provider row's settings, read once."""

    kind: str
    name: str
    base_url: str = ""
    credential: str = field(default="", repr=False)


@dataclass(frozen=True)
class ModelConfig:
    """A model row's settings, read once."""

    upstream_name: str
    options: dict[str, Any] = field(default_factory=dict)
    max_audio_seconds: float | None = None  # None: no known limit


class AudioSource(Protocol):
    """Stored audio, read when and as the adapter wants it."""

    @property
    def sha256(self) -> str:
        """Of the bytes, hex: the same for the same audio."""

    @property
    def duration(self) -> float:
        """seconds"""

    @property
    def size(self) -> int:
        """bytes"""

    @property
    def mime_type(self) -> str: ...

    def open(self) -> BinaryIO:
        """A new binary stream from the start; the caller closes it."""

    def local_path(self) -> AbstractContextManager[Path]:
        """A file on this machine with the audio: the stored one, or a copy that is gone afterwards."""


@dataclass(frozen=True)
class TranscriptionRequest:
    audio: AudioSource
    language: str = ""  # BCP-47
    prompt: str = ""


@dataclass(frozen=True)
class Transcription:
    text: str
    processing_seconds: float  # what the provider needed; waiting for a free place is not in it


@dataclass(frozen=True)
class SpeechRequest:
    text: str
    voice: str = ""  # empty: the model's own
    speed: float = 1.0  # 1 is the voice's own pace


@dataclass(frozen=True)
class Speech:
    audio: bytes  # a whole WAV file
    sample_rate: int  # Hz


@runtime_checkable
class Transcriber(Protocol):
    async def transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        """The text of the audio. Raises ProviderError."""


@runtime_checkable
class Speaker(Protocol):
    async def speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        """The text, spoken. Raises ProviderError."""


class Adapter(Protocol):
    """One provider kind. It is also a `Transcriber`, a `Speaker`, or both."""

    kind: str

    def close(self) -> None:
        """Let go of connections and processes; the adapter is not used afterwards."""


def as_transcriber(adapter: Adapter) -> Transcriber:
    """The adapter as one that transcribes. Raises CapabilityNotSupported."""
    if not isinstance(adapter, Transcriber):
        raise CapabilityNotSupported(f"Providers of the kind {adapter.kind!r} do not transcribe speech.")
    return adapter


def as_speaker(adapter: Adapter) -> Speaker:
    """The adapter as one that speaks. Raises CapabilityNotSupported."""
    if not isinstance(adapter, Speaker):
        raise CapabilityNotSupported(f"Providers of the kind {adapter.kind!r} do not speak.")
    return adapter
