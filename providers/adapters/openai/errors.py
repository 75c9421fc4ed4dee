"""Conversion of the SDK's errors, and of errors in responses, to ProviderError."""

import math
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2

from providers.adapters.base import ProviderError
from providers.adapters.openai.sdk import sdk
from providers.addresses import refused_address
from providers.reasons import Reason

if TYPE_CHECKING:
    import openai

LONGEST_MESSAGE = 500  # characters
# Some servers' validation errors quote the request after this.
REPEATED_INPUT = re.compile(r"[,{\[]\s*['\"]?input(_value)?['\"]?\s*[:=].*", re.DOTALL)

# Error codes of OpenAI and of compatible servers; they take precedence over the status.
BY_CODE = {
    "insufficient_quota": Reason.QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": Reason.QUOTA_EXHAUSTED,
    "billing_not_active": Reason.QUOTA_EXHAUSTED,
    "rate_limit_exceeded": Reason.RATE_LIMITED,
    "invalid_api_key": Reason.INVALID_CREDENTIALS,
    "model_not_found": Reason.REQUEST_REFUSED,
    "content_filter": Reason.BLOCKED,
    "content_policy_violation": Reason.BLOCKED,
    "audio_too_long": Reason.AUDIO_TOO_LONG,
    "unsupported_format": Reason.UNSUPPORTED_FORMAT,
}
BY_STATUS = {
    401: Reason.INVALID_CREDENTIALS,
    402: Reason.QUOTA_EXHAUSTED,
    403: Reason.INVALID_CREDENTIALS,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
    504: Reason.TIMEOUT,
}
# Errors about audio, by status or, for 400 and 422, by their message: OpenAI has no codes for them.
BY_AUDIO_STATUS = {413: Reason.AUDIO_TOO_LONG, 415: Reason.UNSUPPORTED_FORMAT}
BY_AUDIO_MESSAGE = (
    (
        re.compile(r"duration.*(longer|exceed)|content size limit|(file|audio|clip).*(too (long|large)|exceed)", re.I),
        Reason.AUDIO_TOO_LONG,
    ),
    (
        re.compile(r"(invalid|unrecognized|unsupported)[\w ]* format|corrupted or unsupported|(decode|decoding)", re.I),
        Reason.UNSUPPORTED_FORMAT,
    ),
)
PASSING = {Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.PROVIDER_ERROR}


@dataclass(frozen=True)
class Call:
    """What the conversion of errors needs to know of a call."""

    private: tuple[str, ...] = ()  # texts and keys that must not appear in errors
    is_transcription: bool = False  # audio was sent


@contextmanager
def provider_errors(call: Call) -> Iterator[None]:
    """Convert the SDK's exceptions to ProviderError. An OSError from reading the audio is not converted."""
    try:
        yield
    except sdk().APIStatusError as error:
        raise _status_error(error, call) from error
    except (sdk().APITimeoutError, httpx2.TimeoutException, TimeoutError) as error:
        raise ProviderError(Reason.TIMEOUT, "The provider did not answer in time.", retryable=True) from error
    except sdk().APIConnectionError as error:
        raise _connection_error(error.__cause__ or error) from error
    except (httpx2.RequestError, ssl.SSLError) as error:  # of a stream that is read without the SDK
        raise _connection_error(error) from error
    except sdk().APIError as error:  # an error in a stream
        raise error_in_answer(error.body or {"message": error.message}, call) from error
    except (ValueError, LookupError, TypeError, AttributeError, httpx2.InvalidURL) as error:
        # A 200 that holds no JSON, or not what it should: the SDK has no error of its own for it.
        message = f"The provider's answer could not be read ({type(error).__name__})."
        raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from error


def error_of_answer(status: int, body: object, headers: Mapping[str, str], call: Call) -> ProviderError:
    """An answer that was read without the SDK, and is no success. `headers`: names in small letters."""
    return _error(status, body, _retry_after(headers), call)


def error_in_answer(body: object, call: Call) -> ProviderError:
    """An answer that began well and holds an error."""
    inner = body.get("error") if isinstance(body, dict) else None
    return _error(None, inner if isinstance(inner, dict) else body, None, call)


def broken_off() -> ProviderError:
    return ProviderError(Reason.PROVIDER_ERROR, "The provider's answer broke off before its end.", retryable=True)


def _connection_error(error: BaseException) -> ProviderError:
    if refused := refused_address(error):
        return ProviderError(Reason.REQUEST_REFUSED, str(refused))
    message = f"The connection to the provider failed ({_why(error)})."
    return ProviderError(Reason.PROVIDER_ERROR, message, retryable=True)


def _why(error: BaseException) -> str:
    """What is known of it, without anything that the other side said."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "there is no host of that name"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens at its address and port"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
    return type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _causes(part)
        error = error.__cause__ or error.__context__


def _status_error(error: "openai.APIStatusError", call: Call) -> ProviderError:
    return _error(error.status_code, error.body, _retry_after(error.response.headers), call)


def _error(status: int | None, body: object, retry_after: float | None, call: Call) -> ProviderError:
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    codes = {str(fields[name]) for name in ("code", "type") if fields.get(name)}
    said = _said(body)
    reason = _reason(status, codes, said, call)
    said = _scrubbed(said, call)
    if status is None:
        return ProviderError(
            reason, f"The answer is not what was asked for: {said or 'no reason given'}", retryable=reason in PASSING
        )
    message = f"{status}: {said or _phrase(status)}"
    if status < 400:
        message = f"{status}: The address redirects to another one. Enter that one, if it is right."
    retryable = reason in PASSING and status >= 400 and status != 501
    return ProviderError(reason, message, retryable=retryable, status=status, retry_after=retry_after)


def _reason(status: int | None, codes: set[str], said: str, call: Call) -> Reason:
    for code, reason in BY_CODE.items():
        if code in codes:
            return reason
    if status in BY_STATUS:
        return BY_STATUS[status]
    if call.is_transcription and status in BY_AUDIO_STATUS:
        return BY_AUDIO_STATUS[status]
    if call.is_transcription and status in (400, 422):
        for pattern, reason in BY_AUDIO_MESSAGE:
            if pattern.search(said):
                return reason
    if status is not None and 400 <= status < 500 and status != 409:
        return Reason.REQUEST_REFUSED
    return Reason.PROVIDER_ERROR


def _said(body: object) -> str:
    """What the provider says of its error. A body of any other form, as a proxy's page, says nothing."""
    if not isinstance(body, dict):
        return ""
    for name in ("message", "error", "detail"):
        value = body.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            return _said(value)
        if isinstance(value, list):  # FastAPI's validation errors; beside `msg` they hold what was sent
            return "; ".join(str(entry["msg"]) for entry in value if isinstance(entry, dict) and "msg" in entry)
    return ""


def _scrubbed(said: str, call: Call) -> str:
    for text in call.private:
        if text:
            said = said.replace(text, "…")
    said = REPEATED_INPUT.sub("", said)
    return " ".join(said.split())[:LONGEST_MESSAGE]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait, where it says so: as a number or as a date."""
    try:
        if value := headers.get("retry-after-ms"):
            seconds = float(value) / 1000
        elif value := headers.get("retry-after"):
            seconds = float(value) if not value.strip().endswith("GMT") else _seconds_until(value)
        else:
            return None
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


def _phrase(status: int) -> str:
    """The standard's word for a status, as "Bad Gateway"."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
