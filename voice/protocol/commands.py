"""What the session wants done: the runner does it, and answers with happenings."""

from dataclasses import dataclass, field

from voice.protocol.client_events import Role
from voice.protocol.config import AudioFormat, Modality, TurnDetection


@dataclass(frozen=True)
class DetectTurns:
    """From the next `Listen` on, hear for speech as said here, afresh; None: not at all.

    Also the order to start afresh after a turn was committed or cleared under the detector's feet.
    """

    settings: TurnDetection | None
    input_format: AudioFormat


@dataclass(frozen=True)
class Listen:
    """Audio for the turn detector; only while there is one."""

    audio: bytes = field(repr=False)  # whole samples
    at_ms: float  # where it starts, of the audio appended since the session's start


@dataclass(frozen=True)
class Transcribe:
    """Answered by TranscriptionDelta..., then Transcribed or TranscriptionFailed."""

    item_id: str
    content_index: int
    audio: bytes = field(repr=False)
    input_format: AudioFormat
    stt_model: str
    language: str
    prompt: str = field(repr=False)


@dataclass(frozen=True)
class CancelTranscription:
    """The item is gone: stop, and tell nothing more of it."""

    item_id: str
    content_index: int


@dataclass(frozen=True)
class Message:
    role: Role
    text: str = field(repr=False)


@dataclass(frozen=True)
class StartResponse:
    """Answered by ChatText, SentenceStarted, SpeechAudio, ResponseUsage, then ResponseFinished or ResponseFailed."""

    response_id: str
    messages: tuple[Message, ...]  # the instructions first; may hold no user's message
    llm_model: str
    modality: Modality  # text: nothing is spoken
    tts_model: str
    voice: str  # empty: the TTS model's own
    speed: float
    output_format: AudioFormat
    max_output_tokens: int | None
    temperature: float | None


@dataclass(frozen=True)
class CancelResponse:
    """Stop it and close the providers' streams now; the client has been told already."""

    response_id: str


@dataclass(frozen=True)
class Close:
    """Send what was said, then close the socket."""

    code: int
    reason: str


Command = DetectTurns | Listen | Transcribe | CancelTranscription | StartResponse | CancelResponse | Close
