"""Errors in OpenAI's format, and the mapping of provider errors to HTTP statuses."""

import json
import math

from starlette.responses import Response

from gateway.errors import ApiError
from providers.adapters.base import ProviderError
from providers.limits import ProviderPaused
from providers.reasons import Reason


def envelope(error: ApiError) -> bytes:
    """Return the body of the response, JSON: {"error": {"message", "type", "param", "code"}}."""
    payload = {"message": error.message, "type": error.kind, "param": error.field, "code": error.code or None}
    return json.dumps({"error": payload}).encode()


def response_of(error: ApiError) -> Response:
    return Response(envelope(error), error.status, error.headers, media_type="application/json")


CALLERS_FAULT = frozenset({400, 413, 415, 422})  # a provider's statuses that become 400

OUR_ACCOUNT = {
    Reason.INVALID_CREDENTIALS,
    Reason.RATE_LIMITED,
    Reason.QUOTA_EXHAUSTED,
}  # about the site's account, whatever the status
# Status for errors without an HTTP response of the provider.
STATUS_OF_REASON = {
    Reason.TIMEOUT: 504,
    Reason.RATE_LIMITED: 429,
    Reason.QUOTA_EXHAUSTED: 429,
    Reason.INVALID_CREDENTIALS: 503,
    Reason.ENGINE_MISSING: 503,
    Reason.CAPABILITY_NOT_SUPPORTED: 400,
    Reason.AUDIO_TOO_LONG: 400,
    Reason.CUT_OFF: 400,
    Reason.AUDIO_UNREADABLE: 400,
    Reason.UNSUPPORTED_FORMAT: 400,
    Reason.FILE_REFUSED: 400,
    Reason.REQUEST_REFUSED: 400,
    Reason.BLOCKED: 400,
}


def status_of(error: ProviderError) -> int:
    """Return the HTTP status for a provider's error: 4xx only if the caller can do something about it."""
    if isinstance(error, ProviderPaused) and error.reason != Reason.RATE_LIMITED:
        return 503
    if error.status is None or error.reason in OUR_ACCOUNT:
        return STATUS_OF_REASON.get(Reason(error.reason), 502)
    if error.status in CALLERS_FAULT:
        return 400
    if error.status in (401, 402, 403):
        return 503
    return 429 if error.status == 429 else 504 if error.status == 504 else 502


def of_provider(error: ProviderError, model_name: str) -> ApiError:
    """Return the API error for a provider's error. `model_name`: the public name of the model that failed."""
    status = status_of(error)
    wait = max(1, math.ceil(error.retry_after or 0))
    headers = {} if error.retry_after is None else {"Retry-After": str(wait)}
    if status == 400:
        return ApiError(400, str(error), code=str(error.reason))
    if status == 429:
        message = f"The provider of {model_name} takes no more calls just now. Try again later."
        headers.setdefault("Retry-After", "1")
        return ApiError(429, message, kind="rate_limit_error", code="rate_limit_exceeded", headers=headers)
    if isinstance(error, ProviderPaused):
        message = f"The provider of {model_name} failed ({error.reason}) and is paused. Try again in {wait} s."
        return ApiError(503, message, kind="server_error", code="provider_paused", headers=headers)
    messages = {
        502: f"The provider of {model_name} failed ({error.reason}). Try again later.",
        503: f"The provider of {model_name} cannot be used ({error.reason}). Ask whoever looks after this site.",
        504: f"The provider of {model_name} did not answer in time.",
    }
    return ApiError(status, messages[status], kind="server_error", code=str(error.reason), headers=headers)
