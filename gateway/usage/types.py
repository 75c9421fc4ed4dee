"""A call, as it is announced and as it ended."""

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
    """What is about to be asked for. `request_id` is unique in its workspace, 128 characters at most."""

    access: Access
    endpoint: Endpoint
    model_name: str  # as the caller wrote it
    request_id: str
    session_id: int | None = None
    estimate_usd: Decimal | None = None  # held against budgets; None: what calls cost on average this month


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. Counts that are not known are None, never 0; times in seconds from the request's arrival."""

    result: Result
    status: int | None = None  # of the HTTP answer
    reason: str = ""
    model: SpeechModel | None = None  # which served it; None: none did, and it cost nothing
    audio_seconds: float | None = None
    characters: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency: float | None = None
    first_byte: float | None = None
    body_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Reservation:
    """A call's committed usage record, to be settled once. It is kept from expiring while somebody holds this."""

    record_id: int
    workspace_id: int
    api_key_id: int | None
    created_at: datetime
    reserved_usd: Decimal


@dataclass(frozen=True, eq=False, slots=True)
class Settlement:
    reservation: Reservation
    outcome: Outcome
