"""Events to the client, independent of the dialect: dialects/render.py makes JSON from them.

`type` is the GA dialect's name of the event, and the fields are named as on the wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from voice.protocol.config import AudioFormat, Modality, SessionConfig
from voice.protocol.conversation import Item
from voice.protocol.runner_events import RateLimit

ResponseStatus = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]
CancelReason = Literal["turn_detected", "client_cancelled"]


@dataclass(eq=False)
class Response:
    id: str
    conversation_id: str | None  # None: out of band
    llm_model: str
    tts_model: str
    modality: Modality
    voice: str
    speed: float
    output_format: AudioFormat
    temperature: float | None
    max_output_tokens: int | None
    metadata: Mapping[str, str] | None
    status: ResponseStatus = "in_progress"
    reason: str | None = None  # why it was cancelled, or is incomplete
    error_code: str | None = None  # why it failed
    error_message: str | None = None
    item: Item | None = None  # its one output item; None: no output yet
    input_tokens: int | None = None  # None: not known
    output_tokens: int | None = None


@dataclass(frozen=True)
class ServerEvent:
    type: ClassVar[str]


@dataclass(frozen=True)
class Error(ServerEvent):
    type = "error"
    code: str
    message: str
    param: str | None = None  # the field of the client's event, as the client wrote it
    client_event_id: str | None = None  # of the event that caused it
    kind: str = "invalid_request_error"


@dataclass(frozen=True)
class SessionCreated(ServerEvent):
    type = "session.created"
    session_id: str
    session: SessionConfig


@dataclass(frozen=True)
class SessionUpdated(ServerEvent):
    type = "session.updated"
    session_id: str
    session: SessionConfig


# Input audio


@dataclass(frozen=True)
class AudioCommitted(ServerEvent):
    type = "input_audio_buffer.committed"
    previous_item_id: str | None
    item_id: str


@dataclass(frozen=True)
class AudioCleared(ServerEvent):
    type = "input_audio_buffer.cleared"


@dataclass(frozen=True)
class SpeechStarted(ServerEvent):
    type = "input_audio_buffer.speech_started"
    audio_start_ms: int
    item_id: str


@dataclass(frozen=True)
class SpeechStopped(ServerEvent):
    type = "input_audio_buffer.speech_stopped"
    audio_end_ms: int
    item_id: str


# Items. These events are rendered at once, before the next input, as an Item changes later.


@dataclass(frozen=True)
class ItemAdded(ServerEvent):
    type = "conversation.item.added"
    previous_item_id: str | None
    item: Item


@dataclass(frozen=True)
class ItemDone(ServerEvent):
    type = "conversation.item.done"
    previous_item_id: str | None
    item: Item


@dataclass(frozen=True)
class ItemRetrieved(ServerEvent):
    type = "conversation.item.retrieved"
    item: Item


@dataclass(frozen=True)
class ItemTruncated(ServerEvent):
    type = "conversation.item.truncated"
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True)
class ItemDeleted(ServerEvent):
    type = "conversation.item.deleted"
    item_id: str


@dataclass(frozen=True)
class TranscriptionDelta(ServerEvent):
    type = "conversation.item.input_audio_transcription.delta"
    item_id: str
    content_index: int
    delta: str


@dataclass(frozen=True)
class TranscriptionCompleted(ServerEvent):
    type = "conversation.item.input_audio_transcription.completed"
    item_id: str
    content_index: int
    transcript: str
    seconds: float
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True)
class TranscriptionFailed(ServerEvent):
    type = "conversation.item.input_audio_transcription.failed"
    item_id: str
    content_index: int
    code: str
    message: str


# Responses


@dataclass(frozen=True)
class ResponseCreated(ServerEvent):
    type = "response.created"
    response: Response


@dataclass(frozen=True)
class ResponseDone(ServerEvent):
    type = "response.done"
    response: Response


@dataclass(frozen=True)
class RateLimitsUpdated(ServerEvent):
    type = "rate_limits.updated"
    rate_limits: tuple[RateLimit, ...]


@dataclass(frozen=True)
class OutputItemAdded(ServerEvent):
    type = "response.output_item.added"
    response_id: str
    item: Item


@dataclass(frozen=True)
class OutputItemDone(ServerEvent):
    type = "response.output_item.done"
    response_id: str
    item: Item


@dataclass(frozen=True)
class PartEvent(ServerEvent):
    """An event of the single part of a response's single item."""

    response_id: str
    item_id: str


@dataclass(frozen=True)
class ContentPartAdded(PartEvent):
    type = "response.content_part.added"
    modality: str


@dataclass(frozen=True)
class ContentPartDone(PartEvent):
    type = "response.content_part.done"
    modality: str
    text: str


@dataclass(frozen=True)
class TextDelta(PartEvent):
    type = "response.output_text.delta"
    delta: str


@dataclass(frozen=True)
class TextDone(PartEvent):
    type = "response.output_text.done"
    text: str


@dataclass(frozen=True)
class AudioDelta(PartEvent):
    type = "response.output_audio.delta"
    audio: bytes


@dataclass(frozen=True)
class AudioDone(PartEvent):
    type = "response.output_audio.done"


@dataclass(frozen=True)
class TranscriptDelta(PartEvent):
    type = "response.output_audio_transcript.delta"
    delta: str


@dataclass(frozen=True)
class TranscriptDone(PartEvent):
    type = "response.output_audio_transcript.done"
    transcript: str
