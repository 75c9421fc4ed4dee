"""Requests to OpenAI's transcription endpoints, and the parsing of their responses."""

from collections.abc import Iterator
from typing import Any

import httpx2

from providers.adapters.base import ModelConfig, TimedText, Transcription, TranscriptionRequest
from providers.adapters.openai.errors import Call, error_in_answer

# Language subtags that have an equivalent in ISO 639-1.
ISO_639_1 = {"cmn": "zh", "fil": "tl", "iw": "he", "in": "id", "ji": "yi", "nb": "no", "nob": "no", "nno": "nn"}


def language_code(tag: str) -> str:
    """Return the ISO 639-1 code of a BCP-47 tag ("zh-Hant-TW": "zh"); empty if there is none."""
    first = tag.partition("-")[0].lower()
    first = ISO_639_1.get(first, first)
    return first if len(first) == 2 else ""


def request_fields(model: ModelConfig, request: TranscriptionRequest, *, translate: bool) -> dict[str, Any]:
    """Return the fields of the form, without the file."""
    wanted = request.timestamp_granularities & model.timestamp_granularities
    fields: dict[str, Any] = {"model": model.upstream_name}
    fields["response_format"] = "verbose_json" if wanted else model.options.get("response_format", "json")
    if wanted and not translate:
        fields["timestamp_granularities"] = sorted(wanted)
    if request.prompt:
        fields["prompt"] = request.prompt
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if not translate and (language := language_code(request.language)):
        fields["language"] = language
    return fields


def read_transcription(answer: httpx2.Response, seconds: float, call: Call) -> Transcription:
    """Parse a response in any format but subtitles. Raises ProviderError, or ValueError if it contains no text."""
    is_text = answer.headers.get("content-type", "").startswith("text/plain")
    if is_text and not answer.content.startswith(b"{"):  # some servers label JSON as text
        return Transcription(text=answer.text.strip(), processing_seconds=seconds)
    body = answer.json()
    if isinstance(body, str):  # some servers send the text as a JSON string
        return Transcription(text=body.strip(), processing_seconds=seconds)
    if isinstance(body, dict) and body.get("error"):
        raise error_in_answer(body, call)
    return transcription_of(body, seconds)


def transcription_of(body: dict[str, Any], seconds: float) -> Transcription:
    """Parse a JSON response. `seconds`: duration of the call. Raises ValueError if it contains no text."""
    text = body["text"]
    if not isinstance(text, str):
        raise ValueError("no text")
    input_tokens, output_tokens = tokens_of(body.get("usage"))
    return Transcription(
        text=text.strip(),
        processing_seconds=seconds,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        words=tuple(_timed(body.get("words"), "word")),
        segments=tuple(_timed(body.get("segments"), "text")),
        language=str(body.get("language") or ""),
    )


def tokens_of(usage: object) -> tuple[int | None, int | None]:
    """Return input and output tokens, by the names of any endpoint; None if they are not reported."""
    if not isinstance(usage, dict):
        return None, None
    return (
        _count(usage.get("input_tokens", usage.get("prompt_tokens"))),
        _count(usage.get("output_tokens", usage.get("completion_tokens"))),
    )


def _count(value: object) -> int | None:
    """Return `value` if it is a plausible number of tokens, else None."""
    return value if isinstance(value, int) and 0 <= value < 10**9 else None


def _timed(entries: object, name: str) -> Iterator[TimedText]:
    for entry in entries if isinstance(entries, list) else []:
        yield TimedText(str(entry[name]).strip(), float(entry["start"]), float(entry["end"]))
