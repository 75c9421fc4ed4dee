"""Every call to a provider is recorded: reserved before it, settled exactly once after it, however it ends."""

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
    """What is known of a call so far; whoever makes it fills it in. None: not known."""

    begun: float = field(default_factory=time.monotonic)  # when it was asked for, by `time.monotonic`
    target: ModelTarget | None = None  # who serves it, or is about to
    is_last: bool = True  # no other target is left to try
    audio_seconds: float | None = None
    characters: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_byte: float | None = None  # seconds
    body_sha256: str = ""
    outcome: Outcome | None = None

    def note_first_byte(self) -> None:
        """The first byte of the answer is there, or about to go out."""
        if self.first_byte is None:
            self.first_byte = time.monotonic() - self.begun

    def end(self, result: Result, status: int, reason: str = "") -> Outcome:
        """The call is over, with what is known of it now."""
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
    """Inside, providers may be called. Afterwards it is recorded how `usage` has ended; where nobody has said so, it
    is an internal error."""
    try:
        yield
    finally:
        await settle(reservation, usage.outcome or usage.end("failed", 500, "internal_error"))
