"""What a session is set to, and what bounds it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal


class ProtocolError(Exception):
    """The event is refused, nothing was changed, and the session goes on. `str(error)` is for the client."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param  # the field; those of a session's settings by their names here (dialects know theirs)


Modality = Literal["audio", "text"]  # audio: speech with its transcript
Kind = Literal["realtime", "transcription"]


class AudioFormat(Enum):
    """How audio is coded on the socket; mono. The value is the GA dialect's name."""

    PCM16 = "audio/pcm"  # 16 bit little-endian, 24 kHz
    ULAW = "audio/pcmu"  # G.711, 8 kHz
    ALAW = "audio/pcma"

    def __init__(self, value: str) -> None:
        is_pcm = value == "audio/pcm"
        self.sample_rate = 24_000 if is_pcm else 8_000  # Hz
        self.frame_bytes = 2 if is_pcm else 1  # of one sample
        self.bytes_per_ms = self.sample_rate * self.frame_bytes // 1000


@dataclass(frozen=True)
class TurnDetection:
    """The server hears by itself when the user starts and stops to speak (server_vad)."""

    threshold: float = 0.5  # 0 to 1: how sure it must be that it is speech
    prefix_padding_ms: int = 300  # audio before the speech that belongs to the turn
    silence_duration_ms: int = 500  # silence that ends the turn
    create_response: bool = True  # answer each turn
    interrupt_response: bool = True  # speech stops the answer that is being given
    idle_timeout_ms: int | None = None  # accepted and shown; nothing is said into the silence


@dataclass(frozen=True)
class Transcription:
    """How the user's speech is written down."""

    language: str = ""  # BCP-47; empty: the model finds out
    prompt: str = ""


@dataclass(frozen=True)
class SessionConfig:
    """All of a session's settings. Changed by `dataclasses.replace` only."""

    model: str  # what the client asked for by name: a pipeline or a chat model
    stt_model: str
    llm_model: str
    tts_model: str
    voice: str = ""  # empty: the TTS model's own
    kind: Kind = "realtime"
    instructions: str = ""
    modality: Modality = "audio"
    input_format: AudioFormat = AudioFormat.PCM16
    output_format: AudioFormat = AudioFormat.PCM16
    transcription: Transcription | None = Transcription()  # None: speech is still written down, but not told
    turn_detection: TurnDetection | None = TurnDetection()  # None: the client commits
    speed: float = 1.0  # 1 is the voice's own pace
    max_output_tokens: int | None = None
    temperature: float | None = None  # None: the model's own
    unused: Mapping[str, Any] = field(default_factory=dict)  # fields that are taken and shown, and do nothing
    expires_at: int | None = None  # seconds since 1970


@dataclass(frozen=True)
class Models:
    """The names that this session may choose from."""

    stt: frozenset[str]
    llm: frozenset[str]
    tts: frozenset[str]
    voices: Mapping[str, Container[str]] = field(default_factory=dict)  # of a TTS model; one not in here takes any


@dataclass(frozen=True)
class Limits:
    """What one session may hold at most."""

    append_bytes: int = 15 * 1024 * 1024  # one append, decoded
    audio_seconds: int = 15 * 60  # appended and not committed; and as much not yet transcribed; as PCM 43 MB each
    commit_ms: int = 100  # less is no turn
    transcriptions: int = 16  # waiting or running at once
    items: int = 1_000  # the oldest are forgotten beyond
    text_chars: int = 1_000_000  # of all items; the oldest are forgotten beyond
    out_of_band_responses: int = 4  # beside the conversation's own
