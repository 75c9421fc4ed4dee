"""Every call to a provider is in the ledger: reserved before it, settled exactly once after it, however it ends."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings

from gateway.catalog import ModelTarget
from gateway.errors import Refused
from gateway.http.errors import Disconnected, HttpError, of_provider
from gateway.http.request import Request
from gateway.usage.recorder import reserve, settle
from gateway.usage.types import Call, Endpoint, Outcome, Reservation, Result
from providers.adapters.base import ProviderError
from providers.reasons import Reason

T = TypeVar("T")

CLIENT_GONE = 499  # as nginx calls it
SERVER_STOPS = 503
SERVED_BY = "x-earshot-model"


@dataclass
class Usage:
    """What is known of a call so far; whoever serves it fills it in. None: not known."""

    request: Request
    target: ModelTarget | None = None  # who serves it, or is about to
    is_last: bool = True  # no other target is left to try
    audio_seconds: float | None = None
    characters: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_byte: float | None = None
    body_sha256: str = ""

    def note_first_byte(self) -> None:
        """The first byte of the answer is about to go out."""
        self.first_byte = time.monotonic() - self.request.asked_at

    def outcome(self, result: Result, status: int, reason: str = "") -> Outcome:
        return Outcome(
            result=result,
            status=status,
            reason=reason,
            model=self.target.model if self.target else None,
            audio_seconds=self.audio_seconds,
            characters=self.characters,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            latency=time.monotonic() - self.request.asked_at,
            first_byte=self.first_byte,
            body_sha256=self.body_sha256,
        )


@asynccontextmanager
async def metered(request: Request, endpoint: Endpoint, model_name: str) -> AsyncIterator[Usage]:
    """Inside, providers may be called, and the caller is answered. Raises Refused where the budget is spent."""
    reservation = await _reserve(request, endpoint, model_name)
    usage = Usage(request)
    outcome = None
    try:
        yield usage
        outcome = usage.outcome("success", request.status or 200)
    except HttpError as error:
        outcome = usage.outcome("failed", error.status, error.code or "")
        raise
    except (Disconnected, asyncio.CancelledError):
        if request.disconnected:
            outcome = usage.outcome("disconnected", request.status or CLIENT_GONE)
        else:
            outcome = usage.outcome("cancelled", request.status or SERVER_STOPS)
        raise
    finally:
        await settle(reservation, outcome or usage.outcome("failed", 500, "internal_error"))


async def _reserve(request: Request, endpoint: Endpoint, model_name: str) -> Reservation:
    """Under the caller's request id; where they have used it before, with something added that tells the two apart."""
    try:
        return await reserve(Call(request.access, endpoint, model_name, request.request_id))
    except Refused as refused:
        if refused.status != 409:
            raise
        request.request_id += f".{uuid.uuid4().hex[:12]}"
        return await reserve(Call(request.access, endpoint, model_name, request.request_id))


async def first_success(
    usage: Usage, targets: Sequence[ModelTarget], attempt: Callable[[ModelTarget], Awaitable[T]]
) -> tuple[ModelTarget, T]:
    """The first of `targets` that `attempt` works for, and what it gave.

    The next one is tried where the provider is at fault (its failures, limits, pauses and time-outs), never where the
    request is. An attempt ends with the answer's first byte: afterwards nothing can be taken back. Raises HttpError:
    the last failure of a provider, for what another than the first refuses was not asked of it (such as a voice).
    """
    failed: HttpError | None = None
    for tried, target in enumerate(targets, start=1):
        usage.target, usage.is_last = target, tried == len(targets)
        try:
            return target, await attempt(target)
        except ProviderError as error:
            usage.target = None  # it did not serve the call
            problem = of_provider(error, target.name)
            if problem.status >= 429 or failed is None:
                failed = problem
            if failed.status < 429 or usage.is_last:
                raise failed from error
    raise ValueError("no targets")


async def first_in_time(parts: AsyncGenerator[T, None]) -> T | None:
    """The first of what a provider streams; None where there is nothing. Raises ProviderError, also where nothing comes
    for too long."""
    try:
        async with asyncio.timeout(settings.CALL_TIMEOUT_SECONDS):
            return await anext(parts, None)
    except TimeoutError:
        raise ProviderError(Reason.TIMEOUT, "The model did not begin to answer in time.", retryable=True) from None
