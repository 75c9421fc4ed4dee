"""Requests passed on to providers that speak OpenAI's protocol themselves: the same form, under the model's own name.

No SDK and no model of the answer lie between; only as much of it is read as its usage and its times need.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from django.conf import settings

from gateway.audio.intake import UploadedAudio
from gateway.http.multipart import Form
from gateway.http.upstream import Answer, upstream_of
from gateway.http.wishes import Wishes
from providers.adapters.base import ModelConfig, OpenAIWire, ProviderError, TimedText, Transcription
from providers.reasons import Reason

Operation = Literal["transcriptions", "translations"]

# Ours to say, whatever the client has said.
REPLACED = {"model", "file", "response_format", "stream", "language", "timestamp_granularities"}
LONGEST_MESSAGE = 500  # characters


async def relay(
    wire: OpenAIWire, model: ModelConfig, operation: Operation, form: Form, wishes: Wishes, audio: UploadedAudio
) -> dict[str, Any]:
    """The provider's answer, which has a `text`. Raises ProviderError."""
    endpoint = wire.endpoint()
    boundary = secrets.token_hex(16)
    start, end = _form(boundary, [*_fields(model, operation, form, wishes)], audio)
    headers = {
        **endpoint.headers,
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Accept": "application/json",
        "User-Agent": "earshot",
    }
    url = f"{endpoint.base_url}/audio/{operation}"
    try:
        async with asyncio.timeout(settings.CALL_TIMEOUT_SECONDS):
            with audio.open() as file:
                answer = await upstream_of(url).post(url, headers, start, file, end)
    except TimeoutError:
        raise ProviderError(Reason.TIMEOUT, "The provider did not answer in time.", retryable=True) from None
    return _read(answer)


def _fields(model: ModelConfig, operation: Operation, form: Form, wishes: Wishes) -> Iterator[tuple[str, str]]:
    yield "model", model.upstream_name
    for name, values in form.fields.items():
        if name.removesuffix("[]") not in REPLACED:
            yield from ((name, value) for value in values)
    if wishes.language and operation == "transcriptions":
        yield "language", wishes.language.partition("-")[0].lower()
    times = wishes.times_needed(model.times)
    yield "response_format", "verbose_json" if times else "json"
    if operation == "transcriptions":
        yield from (("timestamp_granularities[]", time) for time in sorted(times))


def _form(boundary: str, fields: list[tuple[str, str]], audio: UploadedAudio) -> tuple[bytes, bytes]:
    """What comes before the file's bytes, and after them."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    disposition = f'form-data; name="file"; filename="{audio.file_name}"'
    parts.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {audio.mime_type}\r\n\r\n")
    return "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _read(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if answer.status == 200 and isinstance(body, dict) and isinstance(body.get("text"), str):
        return body
    raise _error(answer, body)


def _error(answer: Answer, body: Any) -> ProviderError:
    if 200 <= answer.status < 300:
        message = "The provider's answer holds no text." if body is not None else "The provider's answer is not JSON."
        return ProviderError(Reason.PROVIDER_ERROR, message, retryable=True)
    reasons = {
        401: Reason.INVALID_CREDENTIALS,
        403: Reason.INVALID_CREDENTIALS,
        402: Reason.QUOTA_EXHAUSTED,
        429: Reason.RATE_LIMITED,
        408: Reason.TIMEOUT,
        504: Reason.TIMEOUT,
        413: Reason.AUDIO_TOO_LONG,
        415: Reason.UNSUPPORTED_FORMAT,
    }
    usual = Reason.REQUEST_REFUSED if 400 <= answer.status < 500 else Reason.PROVIDER_ERROR
    reason = reasons.get(answer.status, usual)
    message = _message(body) or f"The provider answered with status {answer.status}."
    retry_after = _seconds(answer.headers)
    retryable = answer.status in (408, 429) or answer.status >= 500
    return ProviderError(reason, message, retryable=retryable, status=answer.status, retry_after=retry_after)


def _message(body: Any) -> str:
    """What the provider tells its caller, who sent what it may speak of."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(message.split())[:LONGEST_MESSAGE] if isinstance(message, str) else ""


def _seconds(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # not there, or a date
        return None


# --- what the answer says -----------------------------------------------------------------------------


def heard(answer: dict[str, Any]) -> Transcription:
    """The answer as what an adapter would have made of it."""
    given = answer.get("usage")
    usage = given if isinstance(given, dict) else {}
    language = answer.get("language")
    return Transcription(
        text=answer["text"],
        processing_seconds=None,
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        words=_timed(answer.get("words"), "word"),
        segments=_timed(answer.get("segments"), "text"),
        language=language if isinstance(language, str) else "",
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _timed(entries: Any, text: Literal["word", "text"]) -> tuple[TimedText, ...]:
    """None of them where one is unreadable: half of the times would look like all of them."""
    try:
        return tuple(TimedText(str(each[text]), float(each["start"]), float(each["end"])) for each in entries or ())
    except (TypeError, KeyError, ValueError):
        return ()


def with_details(told: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Our answer with what the provider says beyond it: log probabilities, tokens of its segments and so on."""
    told = {**{name: value for name, value in answer.items() if name not in ("usage", "x_groq")}, **told}
    given = answer.get("segments")
    if isinstance(given, list) and len(given) == len(told.get("segments", ())):
        told["segments"] = [{**ours, **theirs} for ours, theirs in zip(told["segments"], given, strict=True)]
    return told
