"""Makes one call to a model that takes samples one by one."""

import asyncio
import logging
import time
from dataclasses import dataclass

from django.conf import settings

from core.tracebacks import place_of
from evaluations.models import Result
from providers.adapters.base import ModelConfig, ProviderError, Transcriber, Transcription, TranscriptionRequest
from providers.reasons import Reason

logger = logging.getLogger(__name__)

# Time limit of a call: SECONDS_A_CALL + SECONDS_A_SECOND * seconds of audio, and CALL_TIMEOUT_SECONDS at most.
SECONDS_A_CALL = 30.0
SECONDS_A_SECOND = 4.0


@dataclass(frozen=True)
class Outcome:
    """The end of a call: either a transcription or an error."""

    result: Result
    latency: float  # seconds
    transcription: Transcription | None = None
    error: ProviderError | None = None


def time_limit(audio_seconds: float) -> float:
    """Return the seconds that a call for so much audio may take."""
    return min(float(settings.CALL_TIMEOUT_SECONDS), SECONDS_A_CALL + SECONDS_A_SECOND * audio_seconds)


async def transcribe(
    result: Result, adapter: Transcriber, model: ModelConfig, request: TranscriptionRequest
) -> Outcome:
    """Call the model once. Never raises: errors become part of the outcome."""
    limit = time_limit(request.audio.duration)
    started = time.monotonic()
    try:
        async with asyncio.timeout(limit):
            answer = await adapter.transcribe(model, request)
    except Exception as error:
        return Outcome(result, time.monotonic() - started, error=_as_provider_error(error, limit))
    return Outcome(result, time.monotonic() - started, answer)


def _as_provider_error(error: Exception, limit: float) -> ProviderError:
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, TimeoutError):
        return ProviderError(Reason.TIMEOUT, f"The model did not answer within {limit:g} s.", retryable=True)
    if isinstance(error, OSError):
        message = f"The stored audio could not be read ({type(error).__name__})."
        return ProviderError(Reason.AUDIO_UNREADABLE, message, retryable=True)
    logger.error("%s in a call:\n%s", type(error).__name__, place_of(error))
    return ProviderError(Reason.INTERNAL_ERROR, f"{type(error).__name__} in Earshot; see the worker's log.")
