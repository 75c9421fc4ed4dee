"""Commands from the session to its runner, which reports their progress by runner events."""

from dataclasses import dataclass, field

from voice.protocol.client_events import Role
from voice.protocol.config import AudioFormat, Modality, TurnDetection


@dataclass(frozen=True)
class DetectTurns:
    """Restart turn detection with these settings, from the next `Listen` on; None: switch it off.

    Also sent after a commit or a clear, as the detector knows nothing of them.
    """

    settings: TurnDetection | None
    input_format: AudioFormat


@dataclass(frozen=True)
class Listen:
    """Search this audio for speech; sent only while turn detection is on."""

    audio: bytes = field(repr=False)  # whole samples
    at_ms: float  # its start, in ms of the audio appended since the session's start


@dataclass(frozen=True)
class Transcribe:
    """Transcribe one part of an item; reported by TranscriptionDelta..., then Transcribed or TranscriptionFailed."""

    item_id: str
    content_index: int
    audio: bytes = field(repr=False)
    input_format: AudioFormat
    stt_model: str
    language: str
    prompt: str = field(repr=False)


@dataclass(frozen=True)
class CancelTranscription:
    """Stop a transcription whose item was deleted, and report nothing more of it."""

    item_id: str
    content_index: int


@dataclass(frozen=True)
class Message:
    role: Role
    text: str = field(repr=False)


@dataclass(frozen=True)
class StartResponse:
    """Write and speak a response.

    Reported by ChatText, SentenceStarted, SpeechAudio, ResponseUsage, then ResponseFinished or ResponseFailed.
    """

    response_id: str
    messages: tuple[Message, ...]  # the instructions first; there may be no user's message
    llm_model: str
    modality: Modality  # text: nothing is spoken
    tts_model: str
    voice: str  # empty: the TTS model's default
    speed: float
    output_format: AudioFormat
    max_output_tokens: int | None
    temperature: float | None


@dataclass(frozen=True)
class CancelResponse:
    """Stop a response and close the providers' streams now; the client has been told already."""

    response_id: str


@dataclass(frozen=True)
class Close:
    """Send what is queued, then close the socket."""

    code: int
    reason: str


Command = DetectTurns | Listen | Transcribe | CancelTranscription | StartResponse | CancelResponse | Close
