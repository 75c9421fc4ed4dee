"""Data types of metering: a call, its reservation, its outcome and its settlement."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from accounts.access import Access
from providers.models import SpeechModel

Endpoint = Literal["transcription", "translation", "speech", "chat"]
Result = Literal["success", "failed", "cancelled", "disconnected", "lost"]


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A call that is about to be made. `request_id` is unique in its workspace and has at most 128 characters."""

    access: Access
    endpoint: Endpoint
    model_name: str  # as the caller wrote it
    request_id: str
    session_id: int | None = None
    estimate_usd: Decimal | None = None  # reserved in budgets; None: this month's mean cost of a call


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call. Unknown counts are None, never 0; times are seconds from the arrival of the request."""

    result: Result
    status: int | None = None  # of the HTTP response
    reason: str = ""
    model: SpeechModel | None = None  # that served the call; None: none did, and it cost nothing
    audio_seconds: float | None = None
    characters: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency: float | None = None
    first_byte: float | None = None
    body_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Reservation:
    """The committed usage record of a call under way. It is renewed as long as this object lives."""

    record_id: int
    workspace_id: int
    api_key_id: int | None
    created_at: datetime
    reserved_usd: Decimal


@dataclass(frozen=True, eq=False, slots=True)
class Settlement:
    """The outcome to write to a reservation's record."""

    reservation: Reservation
    outcome: Outcome
