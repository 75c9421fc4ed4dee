"""An answer, from response.created to response.done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.realtime.core.config import AudioFormat, Modality
from gateway.realtime.core.items import Item

ResponseStatus = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]


@dataclass(eq=False)
class Response:
    id: str
    conversation_id: str | None  # None: out of band
    modality: Modality
    voice: str
    output_format: AudioFormat
    temperature: float | None
    max_output_tokens: int | None
    metadata: Mapping[str, str] | None
    status: ResponseStatus = "in_progress"
    reason: str | None = None  # why it is not completed
    error_code: str | None = None
    error_message: str | None = None
    item: Item | None = None  # its one output, once there is some
    input_tokens: int | None = None
    output_tokens: int | None = None
