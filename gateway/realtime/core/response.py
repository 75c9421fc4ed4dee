"""An answer, from response.created to response.done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.realtime.core.config import AudioFormat, Modality
from gateway.realtime.core.items import Item

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
    item: Item | None = None  # its one output, once there is some
    input_tokens: int | None = None  # None: not known
    output_tokens: int | None = None
