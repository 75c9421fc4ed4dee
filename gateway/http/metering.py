"""Metering and fallback: records the call of a request, and tries the models of an alias in turn."""

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
    """Reserve a call on entry and settle it on exit, when the response has been sent. Raises ApiError as `reserve`
    does."""
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
    """Reserve the call under the caller's request id; if that is taken, with a random suffix."""
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
    """Try `targets` in order; returns the first for which `attempt` succeeds, with its result.

    The next target is tried after errors of the provider (failures, limits, pauses, time-outs), never after errors of
    the request (4xx but 429). An attempt covers the call up to the first byte of the response, which cannot be taken
    back. Raises ApiError: the error of the last provider that failed. A later target's 4xx is not reported instead, as
    the request (such as its voice) was made for the first.
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
    """Return the first part of a provider's stream; None if it is empty. Raises ProviderError, also after
    CALL_TIMEOUT_SECONDS without a part."""
    try:
        async with asyncio.timeout(settings.CALL_TIMEOUT_SECONDS):
            return await anext(parts, None)
    except TimeoutError:
        raise ProviderError(Reason.TIMEOUT, "The model did not begin to answer in time.", retryable=True) from None
