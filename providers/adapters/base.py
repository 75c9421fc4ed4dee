"""What every provider kind offers. An adapter is made from a `ProviderConfig` and holds no database row, so that it may
be used in any thread or event loop of the process that made it, and in no other process."""

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
    """A call failed. `str(error)` is for a person, and holds no audio, text or key."""

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
        self.status = status  # of the provider's HTTP answer; None: there was none
        self.retry_after = retry_after  # seconds that the provider asks to wait

    @property
    def refused(self) -> bool:
        """Whether the provider has answered that it did nothing; otherwise it may have done what was asked."""
        return self.status == 501 or (self.status is not None and 400 <= self.status < 500 and self.status != 408)


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
    max_audio_bytes: int | None = None  # of a file; None: no known limit
    times: frozenset[Literal["word", "segment"]] = frozenset()  # that it can give


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
class Instructions:
    """What a model is told beside the audio."""

    language: str = ""  # BCP-47
    prompt: str = ""  # empty: the adapter's own


@dataclass(frozen=True)
class RemoteAudio:
    """Audio that was put at the provider before."""

    uri: str
    mime_type: str


@dataclass(frozen=True)
class TranscriptionRequest:
    audio: AudioSource
    language: str = ""  # BCP-47
    prompt: str = ""
    remote: RemoteAudio | None = None  # where the audio was put at the provider before
    temperature: float | None = None  # 0 to 1; None: the adapter's own
    times: frozenset[Literal["word", "segment"]] = frozenset()  # asked for; models without them answer without them


@dataclass(frozen=True)
class TimedText:
    """A word or a segment, and when it is said: seconds from the audio's start."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Transcription:
    text: str
    processing_seconds: float | None  # what the provider needed, waiting for a free place apart; None: in a batch
    input_tokens: int | None = None
    output_tokens: int | None = None
    truncated: bool = False  # the model stopped at its output limit, not at the audio's end
    words: tuple[TimedText, ...] = ()
    segments: tuple[TimedText, ...] = ()
    language: str = ""  # what the model heard; empty: it does not say


@dataclass(frozen=True)
class TranscriptionPart:
    """A piece of text as it comes; the last one holds the whole."""

    delta: str = ""
    whole: Transcription | None = None


AudioEncoding = Literal["wav", "pcm", "mp3", "opus", "aac", "flac"]  # pcm: 16 bit little-endian mono, no header


@dataclass(frozen=True)
class SpeechRequest:
    text: str
    voice: str = ""  # empty: the model's own
    speed: float = 1.0  # 1 is the voice's own pace
    instructions: str = ""  # how to speak; models that take none ignore it
    encoding: AudioEncoding = "wav"  # wished for when streaming: a provider that lacks it answers in another


@dataclass(frozen=True)
class Speech:
    audio: bytes  # a whole WAV file
    sample_rate: int  # Hz
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class SpeechPart:
    """Audio as it comes: one stream cut anywhere, with one encoding and rate."""

    audio: bytes
    encoding: AudioEncoding
    sample_rate: int  # Hz
    input_tokens: int | None = None  # in the last part, where the provider counts them
    output_tokens: int | None = None


@dataclass(frozen=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None  # None: the model's own
    max_output_tokens: int | None = None


@dataclass(frozen=True)
class ChatPart:
    """Text as it comes."""

    text: str
    input_tokens: int | None = None  # in the last part, where the provider counts them
    output_tokens: int | None = None
    truncated: bool = False  # in the last part: the model stopped at its output limit


@runtime_checkable
class Transcriber(Protocol):
    async def transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        """The text of the audio. Raises ProviderError."""


# Streams: closing the generator (`contextlib.aclosing`) closes the provider's stream. They raise ProviderError, also in
# the middle; one that ends without raising is whole.


@runtime_checkable
class StreamingTranscriber(Protocol):
    def stream_transcription(
        self, model: ModelConfig, request: TranscriptionRequest
    ) -> AsyncGenerator[TranscriptionPart, None]:
        """The text as the model writes it."""


@runtime_checkable
class Translator(Protocol):
    async def translate(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        """The text of the audio in English, whatever is spoken in it. Raises ProviderError."""


@runtime_checkable
class SpeechSynthesizer(Protocol):
    async def speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        """The text, spoken. Raises ProviderError."""


@runtime_checkable
class StreamingSynthesizer(Protocol):
    def stream_speech(self, model: ModelConfig, request: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
        """The text, spoken, as it is made."""


@runtime_checkable
class ChatModel(Protocol):
    def stream_chat(self, model: ModelConfig, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        """The model's answer as it is written."""


@dataclass(frozen=True)
class Endpoint:
    """Where a provider is reached by plain HTTP, and with what."""

    base_url: str  # without a slash at its end; /audio/transcriptions comes right after it
    headers: Mapping[str, str] = field(repr=False)  # they hold the key
    public_only: bool  # somebody has entered the address: it may not lead into the site's own network


@runtime_checkable
class OpenAICompatible(Protocol):
    """A provider that speaks OpenAI's protocol itself, so that requests may be passed on as they are."""

    def endpoint(self) -> Endpoint: ...


@runtime_checkable
class ModelLister(Protocol):
    async def list_models(self) -> list[str]:
        """The provider's own names of the models that it offers now. Raises ProviderError."""


class Adapter(Protocol):
    """One provider kind. What it can do are the protocols here that it also has: Transcriber, Speaker, Chatter..."""

    kind: ClassVar[str]
    info: ClassVar[KindInfo]

    def __init__(self, config: ProviderConfig) -> None:
        """Calls nothing and opens nothing yet."""

    def close(self) -> None:
        """Let go of connections and processes; the adapter is not used afterwards."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at a provider, as it was when asked."""

    name: str
    uri: str
    state: Literal["processing", "active", "failed"]
    expires_at: datetime | None = None
    error: str = ""  # why it failed


@dataclass(frozen=True)
class RemoteBatch:
    """A batch job at a provider, as it was when asked."""

    name: str
    # ended: with results, maybe not for all; refused: failed by what was asked, not by how it went
    state: Literal["running", "ended", "failed", "refused", "cancelled", "expired"]
    remote_state: str  # the provider's own word
    error: str = ""  # the provider's own text
    output_file: str = ""  # name of the file with the results; also of what did not succeed there may be one


@dataclass(frozen=True)
class BatchLine:
    """One line of a batch's result file."""

    key: str | None  # None: it cannot be told whose line it is
    answer: Transcription | ProviderError


@runtime_checkable
class FileStore(Protocol):
    """A provider that audio is put at before a model can hear it, under names that the caller chooses. Every method
    blocks, may be called from several threads at once, and raises ProviderError."""

    def takes(self, mime_type: str) -> bool:
        """Whether the models hear audio of this type; other audio is transcoded to FLAC first."""

    def wants_upload(self, mime_type: str, size: int) -> bool:
        """Whether audio must be put there before a direct call too: too large to be sent along, or of another type."""

    def upload_file(self, name: str, stream: BinaryIO, size: int, mime_type: str) -> RemoteFile:
        """Put a file of `size` bytes under `name`. Where one of that name is there already, that one is returned."""

    def get_file(self, name: str) -> RemoteFile | None:
        """None where there is no such file (any more)."""

    def delete_file(self, name: str) -> None:
        """A file that is not there counts as deleted."""


@runtime_checkable
class BatchTranscriber(FileStore, Protocol):
    """A provider that takes many samples in one job."""

    def batch_line(self, key: str, audio: RemoteAudio, instructions: Instructions) -> bytes:
        """A request of a batch's input file: one line of JSON."""

    def create_batch(self, model: ModelConfig, input_file: str, display_name: str) -> RemoteBatch:
        """Make the job. Not safe to repeat: after an error that leaves it open, look for it first."""

    def find_batches(self, display_name: str) -> list[RemoteBatch]:
        """The jobs of that name, oldest first."""

    def get_batch(self, name: str) -> RemoteBatch | None:
        """None where there is no such job (any more)."""

    def cancel_batch(self, name: str) -> None:
        """A job that has ended, or is not there, counts as cancelled."""

    def download_file(self, name: str) -> Iterator[bytes]:
        """The file's bytes, in pieces."""

    def read_line(self, line: bytes) -> BatchLine: ...


def as_transcriber(adapter: Adapter) -> Transcriber:
    """The adapter as one that transcribes; like its sisters below it raises CapabilityNotSupported."""
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


def as_chatter(adapter: Adapter) -> ChatModel:
    if not isinstance(adapter, ChatModel):
        raise _cannot(adapter, "do not chat")
    return adapter


def as_batch_transcriber(adapter: Adapter) -> BatchTranscriber:
    if not isinstance(adapter, BatchTranscriber):
        raise _cannot(adapter, "take no batches")
    return adapter


def _cannot(adapter: Adapter, what: str) -> CapabilityNotSupported:
    return CapabilityNotSupported(f"Providers of the kind {adapter.kind!r} {what}.")
