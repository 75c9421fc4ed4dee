"""One sample's call to a model that takes samples one by one, with its retries."""

import asyncio
import logging
import random
import time
import traceback
from dataclasses import dataclass, field

from django.conf import settings

from providers.adapters.base import ModelConfig, ProviderError, Transcriber, Transcription, TranscriptionRequest
from providers.reasons import Reason

logger = logging.getLogger(__name__)

MAX_CALLS = 3  # of a sample, where the fault may pass
BACKOFF_SECONDS = 0.5


@dataclass(frozen=True)
class Failure:
    """A call that did not succeed."""

    reason: Reason
    message: str
    latency: float  # seconds


@dataclass
class Outcome:
    """How a sample ended: with a transcription, or without one after the last of its failures."""

    result_id: int
    audio_seconds: float
    transcription: Transcription | None = None
    failures: list[Failure] = field(default_factory=list)


async def transcribe(
    result_id: int, adapter: Transcriber, model: ModelConfig, request: TranscriptionRequest
) -> Outcome:
    """Call the model until it answers, the fault is one that stays, or MAX_CALLS were made. Never raises.

    All of it takes at most CALL_TIMEOUT_SECONDS, the pauses that a provider asks for included.
    """
    outcome = Outcome(result_id, request.audio.duration)
    limit = settings.CALL_TIMEOUT_SECONDS
    try:
        async with asyncio.timeout(limit):
            await _call_repeatedly(outcome, adapter, model, request)
    except TimeoutError:
        outcome.failures.append(Failure(Reason.TIMEOUT, f"The model did not answer within {limit:g} s.", limit))
    return outcome


async def _call_repeatedly(
    outcome: Outcome, adapter: Transcriber, model: ModelConfig, request: TranscriptionRequest
) -> None:
    ends_at = time.monotonic() + settings.CALL_TIMEOUT_SECONDS
    for number in range(1, MAX_CALLS + 1):
        started = time.monotonic()
        try:
            outcome.transcription = await adapter.transcribe(model, request)
        except Exception as error:
            failure, pause = _failure(error, time.monotonic() - started)
            outcome.failures.append(failure)
            if pause is None or number == MAX_CALLS or time.monotonic() + pause > ends_at:
                return
            await asyncio.sleep(pause + BACKOFF_SECONDS * 2 ** (number - 1) * random.uniform(0.5, 1.5))  # noqa: S311
        else:
            return


def _failure(error: Exception, latency: float) -> tuple[Failure, float | None]:
    """The failure, and the seconds that the provider asks to wait before another call; None: it would fail again."""
    if isinstance(error, ProviderError):
        pause = (error.retry_after or 0.0) if error.retryable else None
        return Failure(error.reason, str(error), latency), pause
    if isinstance(error, OSError):
        message = f"The stored audio could not be read ({type(error).__name__})."
        return Failure(Reason.AUDIO_UNREADABLE, message, latency), 0.0
    # The message of an unforeseen error may hold anything: only its kind and place are logged.
    logger.error("%s in a call:\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Failure(Reason.INTERNAL_ERROR, f"{type(error).__name__} in Earshot; see the worker's log.", latency), None
