"""The interfaces and data types that all provider adapters share.

An adapter is made from a `ProviderConfig` and holds no database row: any thread or event loop of the process that made
it may use it, no other process may.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, runtime_checkable

from core.text import storable
from providers.adapters.kinds import KindInfo
from providers.reasons import Reason


class ProviderError(Exception):
    """A call to a provider failed. `str(error)` is a message for people, without audio, transcript or key."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(storable(message))
        self.reason = reason
        self.retryable = retryable
        self.status = status  # HTTP status of the provider's response; None: there was no response
        self.retry_after = retry_after  # seconds to wait before the next call, as the provider asked

    @property
    def refused(self) -> bool:
        """Whether the response (4xx but 408, or 501) says that nothing was done; after other errors the call may have
        had its effect."""
        return self.status == 501 or (self.status is not None and 400 <= self.status < 500 and self.status != 408)


class CapabilityNotSupported(ProviderError):  # noqa: N818
    """The provider or the model does not support the request."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CAPABILITY_NOT_SUPPORTED, message)


@dataclass(frozen=True)
class ProviderConfig:
    """Settings of a `providers.models.Provider`, copied from its row."""

    kind: str
    name: str
    base_url: str = ""
    credential: str = field(default="", repr=False)


@dataclass(frozen=True)
class ModelConfig:
    """Settings of a `providers.models.SpeechModel`, copied from its row."""

    upstream_name: str
    options: dict[str, Any] = field(default_factory=dict)
    max_audio_seconds: float | None = None  # None: no known limit
    max_audio_bytes: int | None = None  # size of a file; None: no known limit
    timestamp_granularities: frozenset[Literal["word", "segment"]] = frozenset()  # that the model supports


class AudioSource(Protocol):
    """Audio that an adapter reads when it needs it: as a stream or as a local file."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hex."""

    @property
    def duration(self) -> float:
        """Length of the audio, in seconds."""

    @property
    def size(self) -> int:
        """Size of the file, in bytes."""

    @property
    def mime_type(self) -> str: ...

    def open(self) -> BinaryIO:
        """Return a new stream at the first byte; the caller closes it."""

    def local_path(self) -> AbstractContextManager[Path]:
        """Provide the path of a local file with the audio: the stored file, or a copy that is deleted on exit."""


@dataclass(frozen=True)
class Instructions:
    """The text that is sent to a model with the audio."""

    language: str = ""  # BCP-47
    prompt: str = ""  # empty: the adapter's default


@dataclass(frozen=True)
class RemoteAudio:
    """Audio that was uploaded to the provider's file store."""

    uri: str
    mime_type: str


@dataclass(frozen=True)
class TranscriptionRequest:
    audio: AudioSource
    language: str = ""  # BCP-47
    prompt: str = ""
    remote: RemoteAudio | None = None  # the same audio in the provider's file store, if it was uploaded
    temperature: float | None = None  # 0 to 1; None: the adapter's default
    timestamp_granularities: frozenset[Literal["word", "segment"]] = frozenset()  # requested; ignored if unsupported


@dataclass(frozen=True)
class TimedText:
    """A word or a segment with its start and end, in seconds from the start of the audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Transcription:
    text: str
    processing_seconds: float | None  # duration of the call, without the wait for a slot; None: in a batch
    input_tokens: int | None = None
    output_tokens: int | None = None
    truncated: bool = False  # the model reached its output limit before the end of the audio
    words: tuple[TimedText, ...] = ()
    segments: tuple[TimedText, ...] = ()
    language: str = ""  # as detected by the model; empty: not reported


@dataclass(frozen=True)
class TranscriptionPart:
    """One part of a streamed transcription: a text delta, or in the last part the final transcription."""

    delta: str = ""
    final: Transcription | None = None


AudioEncoding = Literal["wav", "pcm", "mp3", "opus", "aac", "flac"]  # pcm: 16 bit little-endian mono, no header


@dataclass(frozen=True)
class SpeechRequest:
    text: str
    voice: str = ""  # empty: the model's default
    speed: float = 1.0  # factor; 1 is the normal speed of the voice
    instructions: str = ""  # how to speak; ignored by models without support
    encoding: AudioEncoding = "wav"  # preferred when streaming; the provider may use another


@dataclass(frozen=True)
class Speech:
    audio: bytes  # a complete WAV file
    sample_rate: int  # Hz
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class SpeechPart:
    """One part of streamed speech. All parts of a stream have the same encoding and sample rate; the cuts between them
    may be anywhere, also within a frame."""

    audio: bytes
    encoding: AudioEncoding
    sample_rate: int  # Hz
    input_tokens: int | None = None  # in the last part, if the provider reports them
    output_tokens: int | None = None


@dataclass(frozen=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None  # None: the model's default
    max_output_tokens: int | None = None


@dataclass(frozen=True)
class ChatPart:
    """One part of a streamed chat response."""

    text: str
    input_tokens: int | None = None  # in the last part, if the provider reports them
    output_tokens: int | None = None
    truncated: bool = False  # in the last part: the model reached its output limit


@runtime_checkable
class Transcriber(Protocol):
    async def transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        """Transcribe the audio. Raises ProviderError."""


# Streaming methods: closing the generator (`contextlib.aclosing`) closes the provider's stream. They raise
# ProviderError, possibly after some parts; a stream that ends without an exception is complete.


@runtime_checkable
class StreamingTranscriber(Protocol):
    def stream_transcription(
        self, model: ModelConfig, request: TranscriptionRequest
    ) -> AsyncGenerator[TranscriptionPart, None]:
        """Transcribe the audio part by part, as the model writes."""


@runtime_checkable
class Translator(Protocol):
    async def translate(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        """Translate speech in any language to English text. Raises ProviderError."""


@runtime_checkable
class SpeechSynthesizer(Protocol):
    async def speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        """Synthesize the text. Raises ProviderError."""


@runtime_checkable
class StreamingSynthesizer(Protocol):
    def stream_speech(self, model: ModelConfig, request: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
        """Synthesize the text part by part."""


@runtime_checkable
class ChatModel(Protocol):
    def stream_chat(self, model: ModelConfig, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        """Answer the messages part by part."""


@dataclass(frozen=True)
class Endpoint:
    """Address and headers for plain HTTP requests to a provider."""

    base_url: str  # without a trailing slash; paths such as /audio/transcriptions are appended
    headers: Mapping[str, str] = field(repr=False)  # with the API key
    public_only: bool  # a user entered the address: only public addresses may be called


@runtime_checkable
class OpenAICompatible(Protocol):
    """A provider that implements OpenAI's HTTP API, so that the gateway can pass requests through."""

    def endpoint(self) -> Endpoint: ...


@runtime_checkable
class ModelLister(Protocol):
    async def list_models(self) -> list[str]:
        """Return the names of the models that the provider offers now, as it writes them. Raises ProviderError."""


class Adapter(Protocol):
    """One provider kind. Its capabilities are the protocols of this module that it implements too: Transcriber,
    SpeechSynthesizer, ChatModel and so on."""

    kind: ClassVar[str]
    info: ClassVar[KindInfo]

    def __init__(self, config: ProviderConfig) -> None:
        """Must not call the provider or open connections."""

    def close(self) -> None:
        """Close connections and child processes. The adapter is not used afterwards."""


@dataclass(frozen=True)
class RemoteFile:
    """Snapshot of a file in a provider's file store."""

    name: str
    uri: str
    state: Literal["processing", "active", "failed"]
    expires_at: datetime | None = None
    error: str = ""  # why it failed


@dataclass(frozen=True)
class RemoteBatch:
    """Snapshot of a batch job at a provider."""

    name: str
    # ended: with results, perhaps not for every line; refused: the request itself is invalid, a retry would fail as
    # well
    state: Literal["running", "ended", "failed", "refused", "cancelled", "expired"]
    remote_state: str  # as the provider names it
    error: str = ""  # the provider's message
    output_file: str = ""  # name of the result file; jobs that did not succeed may have one too


@dataclass(frozen=True)
class BatchLine:
    """One line of a batch's result file."""

    key: str | None  # of the request; None: unreadable
    answer: Transcription | ProviderError


@runtime_checkable
class FileStore(Protocol):
    """A provider with a file store, to which audio is uploaded before a model reads it. The caller chooses the names.
    Every method blocks, is safe to call from several threads, and raises ProviderError."""

    def takes(self, mime_type: str) -> bool:
        """Whether the models accept this type; the caller transcodes other audio to FLAC."""

    def wants_upload(self, mime_type: str, size: int) -> bool:
        """Whether direct calls need an upload too: the audio is too large to send inline, or of a type that cannot
        be."""

    def upload_file(self, name: str, stream: BinaryIO, size: int, mime_type: str) -> RemoteFile:
        """Upload `size` bytes of `stream` as `name`. Returns the existing file if there is one of that name."""

    def get_file(self, name: str) -> RemoteFile | None:
        """Return the file, or None if it does not exist (any more)."""

    def delete_file(self, name: str) -> None:
        """Delete the file. A missing file is no error."""


@runtime_checkable
class BatchTranscriber(FileStore, Protocol):
    """A provider that transcribes many samples in one batch job."""

    def batch_line(self, key: str, audio: RemoteAudio, instructions: Instructions) -> bytes:
        """Return one request as a line (JSON) of a batch's input file."""

    def create_batch(self, model: ModelConfig, input_file: str, display_name: str) -> RemoteBatch:
        """Create the job. Not idempotent: after an error that may have come after its creation, call `find_batches`
        first."""

    def find_batches(self, display_name: str) -> list[RemoteBatch]:
        """Return the jobs with that display name, oldest first."""

    def get_batch(self, name: str) -> RemoteBatch | None:
        """Return the job, or None if it does not exist (any more)."""

    def cancel_batch(self, name: str) -> None:
        """Cancel the job. One that has ended or does not exist is no error."""

    def download_file(self, name: str) -> Iterator[bytes]:
        """Yield the file's bytes in chunks."""

    def read_line(self, line: bytes) -> BatchLine:
        """Parse one line of a result file."""


def as_transcriber(adapter: Adapter) -> Transcriber:
    """Return `adapter` typed as a Transcriber. This and the functions below raise CapabilityNotSupported if the adapter
    does not implement the protocol."""
    if not isinstance(adapter, Transcriber):
        raise _cannot(adapter, "do not transcribe speech")
    return adapter


def as_translator(adapter: Adapter) -> Translator:
    if not isinstance(adapter, Translator):
        raise _cannot(adapter, "do not translate speech")
    return adapter


def as_synthesizer(adapter: Adapter) -> SpeechSynthesizer:
    if not isinstance(adapter, SpeechSynthesizer):
        raise _cannot(adapter, "do not speak")
    return adapter


def as_chat_model(adapter: Adapter) -> ChatModel:
    if not isinstance(adapter, ChatModel):
        raise _cannot(adapter, "do not chat")
    return adapter


def as_batch_transcriber(adapter: Adapter) -> BatchTranscriber:
    if not isinstance(adapter, BatchTranscriber):
        raise _cannot(adapter, "take no batches")
    return adapter


def _cannot(adapter: Adapter, what: str) -> CapabilityNotSupported:
    return CapabilityNotSupported(f"Providers of the kind {adapter.kind!r} {what}.")
