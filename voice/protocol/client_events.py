"""Events from the client, independent of the dialect: dialects/parse.py makes them from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from voice.protocol.config import AudioFormat, Modality

ItemType = Literal["message", "function_call", "function_call_output"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, kw_only=True)
class ClientEvent:
    event_id: str | None = None  # the client's own; errors name it


class TurnDetectionPatch(TypedDict, total=False):
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    create_response: bool
    interrupt_response: bool
    idle_timeout_ms: int | None


class TranscriptionPatch(TypedDict, total=False):
    model: str  # an unknown name falls back to the session's default
    language: str
    prompt: str


class SessionPatch(TypedDict, total=False):
    """Changes to a session's settings: only the fields that the client named."""

    model: str  # a chat model's name; any other name changes nothing
    stt_model: str  # unknown names of these three are refused
    llm_model: str
    tts_model: str
    voice: str
    instructions: str
    modality: Modality
    input_format: AudioFormat
    output_format: AudioFormat
    transcription: TranscriptionPatch | None  # None: off
    turn_detection: TurnDetectionPatch | None  # None: off
    speed: float
    max_output_tokens: int | None
    temperature: float
    unused: Mapping[str, Any]


@dataclass(frozen=True)
class UpdateSession(ClientEvent):
    patch: SessionPatch


@dataclass(frozen=True)
class AppendAudio(ClientEvent):
    audio: bytes = field(repr=False)  # in the session's input format


@dataclass(frozen=True)
class CommitAudio(ClientEvent):
    pass


@dataclass(frozen=True)
class ClearAudio(ClientEvent):
    pass


@dataclass(frozen=True)
class NewContent:
    kind: Literal["text", "audio"]
    text: str | None  # of audio its transcript; None: it will be transcribed
    audio: bytes = b""


@dataclass(frozen=True)
class NewItem:
    """An item that a client provides."""

    id: str | None  # the client's own; None: the session makes one
    type: ItemType
    role: Role | None  # of a message
    content: tuple[NewContent, ...] = ()
    unused: Mapping[str, Any] | None = None  # fields of function calls: stored and shown, but not part of the context


@dataclass(frozen=True)
class CreateItem(ClientEvent):
    item: NewItem
    previous_item_id: str | None = None  # None: at the end; "root": at the start


@dataclass(frozen=True)
class RetrieveItem(ClientEvent):
    item_id: str


@dataclass(frozen=True)
class TruncateItem(ClientEvent):
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True)
class DeleteItem(ClientEvent):
    item_id: str


@dataclass(frozen=True)
class ItemReference:
    item_id: str


@dataclass(frozen=True)
class ResponseOptions:
    """Settings of one response; None: as the session's."""

    instructions: str | None = None
    modality: Modality | None = None
    voice: str | None = None
    output_format: AudioFormat | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    temperature: float | None = None
    in_conversation: bool = True  # False: out of band; the answer is not added to the conversation
    input: tuple[NewItem | ItemReference, ...] | None = None  # the whole context, instead of the conversation
    metadata: Mapping[str, str] | None = None  # returned with the response


@dataclass(frozen=True)
class CreateResponse(ClientEvent):
    options: ResponseOptions = ResponseOptions()


@dataclass(frozen=True)
class CancelResponse(ClientEvent):
    response_id: str | None = None  # None: the conversation's active one
