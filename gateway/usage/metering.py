"""Collects what a usage record needs while a call is under way, and settles it exactly once however the call ends."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.catalog import ModelTarget
from gateway.usage.recorder import settle
from gateway.usage.types import Outcome, Reservation, Result

CLIENT_GONE = 499  # as nginx calls it


@dataclass
class Usage:
    """The measurements of a call so far, filled in by the code that makes it. None: unknown."""

    begun: float = field(default_factory=time.monotonic)  # arrival of the request, by `time.monotonic`
    target: ModelTarget | None = None  # the model that serves the call, or is being tried
    is_last: bool = True  # no other model is left to try
    audio_seconds: float | None = None
    characters: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_byte: float | None = None  # seconds from `begun`
    body_sha256: str = ""
    outcome: Outcome | None = None

    def note_first_byte(self) -> None:
        """Set `first_byte`, at the first byte of the response."""
        if self.first_byte is None:
            self.first_byte = time.monotonic() - self.begun

    def end(self, result: Result, status: int, reason: str = "") -> Outcome:
        """Set `outcome` from the measurements."""
        self.outcome = Outcome(
            result=result,
            status=status,
            reason=reason,
            model=self.target.model if self.target else None,
            audio_seconds=self.audio_seconds,
            characters=self.characters,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            latency=time.monotonic() - self.begun,
            first_byte=self.first_byte,
            body_sha256=self.body_sha256,
        )
        return self.outcome


@asynccontextmanager
async def settled(reservation: Reservation, usage: Usage) -> AsyncIterator[None]:
    """Settle `reservation` with the outcome of `usage` on exit; without an outcome, as an internal error."""
    try:
        yield
    finally:
        await settle(reservation, usage.outcome or usage.end("failed", 500, "internal_error"))
