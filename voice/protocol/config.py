"""A session's settings and limits."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal


class ProtocolError(Exception):
    """A client's event is refused: it changed nothing, and the session goes on. `str(error)` is for the client."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param  # the field; for a session's setting its name in this module, which dialects translate


Modality = Literal["audio", "text"]  # audio: speech with its transcript
Kind = Literal["realtime", "transcription"]


class AudioFormat(Enum):
    """The encoding of audio on the socket, mono. The value is the GA dialect's name."""

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
    """Settings of turn detection: the server finds where the user starts and stops speaking (server_vad)."""

    threshold: float = 0.5  # least probability of speech, 0 to 1
    prefix_padding_ms: int = 300  # audio before the speech that belongs to the turn
    silence_duration_ms: int = 500  # silence that ends the turn
    create_response: bool = True  # a response follows each turn
    interrupt_response: bool = True  # speech cancels the active response
    idle_timeout_ms: int | None = None  # accepted and shown, without effect


@dataclass(frozen=True)
class Transcription:
    """Settings of the transcription of the user's speech."""

    language: str = ""  # BCP-47; empty: the model detects it
    prompt: str = ""


@dataclass(frozen=True)
class SessionConfig:
    """All settings of a session; immutable."""

    model: str  # the name that the client asked for: of a pipeline or a chat model
    stt_model: str
    llm_model: str
    tts_model: str
    voice: str = ""  # empty: the TTS model's default
    kind: Kind = "realtime"
    instructions: str = ""
    modality: Modality = "audio"
    input_format: AudioFormat = AudioFormat.PCM16
    output_format: AudioFormat = AudioFormat.PCM16
    transcription: Transcription | None = Transcription()  # None: the client gets no transcripts
    turn_detection: TurnDetection | None = TurnDetection()  # None: the client commits
    speed: float = 1.0  # 1: the voice's normal speed
    max_output_tokens: int | None = None
    temperature: float | None = None  # None: the model's default
    unused: Mapping[str, Any] = field(default_factory=dict)  # fields that are accepted and shown, without effect
    expires_at: int | None = None  # seconds since 1970


@dataclass(frozen=True)
class Models:
    """The models and voices that a session may use, by name."""

    stt: frozenset[str]
    llm: frozenset[str]
    tts: frozenset[str]
    voices: Mapping[str, Container[str]] = field(default_factory=dict)  # by TTS model; any voice for one not in here


@dataclass(frozen=True)
class Limits:
    """The most that one session may hold."""

    append_bytes: int = 15 * 1024 * 1024  # of one append, decoded
    audio_seconds: int = 15 * 60  # not yet committed, and as much not yet transcribed; as PCM 43 MB each
    commit_ms: int = 100  # the shortest audio that can be committed
    transcriptions: int = 16  # at once
    items: int = 1_000  # beyond it the oldest are deleted
    text_chars: int = 1_000_000  # of all items; beyond it the oldest are deleted
    out_of_band_responses: int = 4  # at once, beside the conversation's own
