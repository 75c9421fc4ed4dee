"""The calls of a request: each is recorded, however it ends, and made at the first model that works."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from django.conf import settings
from starlette.requests import ClientDisconnect

from gateway.catalog import ModelTarget
from gateway.errors import ApiError
from gateway.http.errors import of_provider
from gateway.http.request import Request
from gateway.usage.metering import CLIENT_GONE, Usage, settled
from gateway.usage.recorder import reserve
from gateway.usage.types import Call, Endpoint, Reservation
from providers.adapters.base import ProviderError
from providers.reasons import Reason

T = TypeVar("T")

SERVER_STOPS = 503
SERVED_BY = "x-earshot-model"


@asynccontextmanager
async def metered(request: Request, endpoint: Endpoint, model_name: str) -> AsyncIterator[Usage]:
    """Inside, providers may be called, and the caller is answered. Raises ApiError where the budget is spent."""
    reservation = await _reserve(request, endpoint, model_name)
    usage = Usage(request.asked_at)
    async with settled(reservation, usage):
        try:
            yield usage
            usage.end("success", request.status or 200)
        except ApiError as error:
            usage.end("failed", error.status, error.code or "")
            raise
        except (ClientDisconnect, asyncio.CancelledError):
            if request.disconnected:
                usage.end("disconnected", request.status or CLIENT_GONE)
            else:
                usage.end("cancelled", request.status or SERVER_STOPS)
            raise


async def _reserve(request: Request, endpoint: Endpoint, model_name: str) -> Reservation:
    """Under the caller's request id; where they have used it before, with something added that tells the two apart."""
    try:
        return await reserve(Call(request.access, endpoint, model_name, request.request_id))
    except ApiError as error:
        if error.status != 409:
            raise
        request.request_id += f".{uuid.uuid4().hex[:12]}"
        return await reserve(Call(request.access, endpoint, model_name, request.request_id))


async def first_success(
    usage: Usage, targets: Sequence[ModelTarget], attempt: Callable[[ModelTarget], Awaitable[T]]
) -> tuple[ModelTarget, T]:
    """The first of `targets` that `attempt` works for, and what it gave.

    The next one is tried where the provider is at fault (its failures, limits, pauses and time-outs), never where the
    request is. An attempt ends with the answer's first byte: afterwards nothing can be taken back. Raises ApiError:
    the last failure of a provider, for what another than the first refuses was not asked of it (such as a voice).
    """
    failed: ApiError | None = None
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
