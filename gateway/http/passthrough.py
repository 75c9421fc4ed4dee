"""Passes requests through to providers that implement OpenAI's HTTP API: the same form, with the provider's name of the
model.

No SDK is used, and only the text, usage and timestamps of the response are interpreted.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, BinaryIO, Literal, TypeGuard

import aiohttp
from django.conf import settings

from gateway.audio.upload import UploadedAudio
from gateway.http.multipart import Form
from gateway.http.params import TranscriptionParams
from providers.adapters.base import (
    Adapter,
    Endpoint,
    ModelConfig,
    OpenAICompatible,
    ProviderError,
    SpeechPart,
    SpeechRequest,
    Transcription,
)
from providers.adapters.http import Answer, needs_proxy, read_answer, request
from providers.adapters.openai.errors import Call, error_in_answer, error_of_answer
from providers.adapters.openai.responses import language_code, transcription_of
from providers.adapters.openai.speech import encoding_for, request_fields, sound_parts
from providers.reasons import Reason

Operation = Literal["transcriptions", "translations"]

PIECE = 256 * 1024  # bytes of the file that are read and sent at once
BOUNDARY = secrets.token_hex(16)  # random, so that no file can contain it on purpose

# Fields of the client's form that are replaced or left out.
REPLACED = {"model", "file", "response_format", "stream", "language", "timestamp_granularities"}
OURS = {"usage", "segments", "words"}  # fields of the response that are built here, not copied from the provider's


def can_relay_transcription(endpoint: Endpoint, model: ModelConfig, audio: UploadedAudio) -> bool:
    """Whether the request can be passed through; if not (format, size or proxy), the adapter has to make it."""
    formats, largest = model.options.get("audio_formats"), model.max_audio_bytes
    return (
        model.options.get("response_format", "json") == "json"
        and (not formats or audio.container.name in formats)
        and (largest is None or audio.size <= largest)
        and not needs_proxy(endpoint.base_url)
    )


async def relay_transcription(
    endpoint: Endpoint,
    model: ModelConfig,
    operation: Operation,
    form: Form,
    params: TranscriptionParams,
    audio: UploadedAudio,
) -> dict[str, Any]:
    """Send the request; returns the provider's response, which contains `text`. Raises ProviderError."""
    start, end = _form([*_fields(model, operation, form, params)], audio)
    headers = {
        **endpoint.headers,
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(start) + audio.size + len(end)),
        "Accept": "application/json",
    }
    url = f"{endpoint.base_url}/audio/{operation}"
    try:
        async with asyncio.timeout(settings.CALL_TIMEOUT_SECONDS):
            with audio.open() as file:
                body = _body(start, file, end)
                async with request("POST", url, headers, body, public_only=endpoint.public_only) as response:
                    answer = await read_answer(response)
    except TimeoutError:
        raise ProviderError(Reason.TIMEOUT, "The provider did not answer in time.", retryable=True) from None
    return _read(answer, Call(private=(params.prompt,), is_transcription=True))


def _fields(
    model: ModelConfig, operation: Operation, form: Form, params: TranscriptionParams
) -> Iterator[tuple[str, str]]:
    yield "model", model.upstream_name
    for name, values in form.fields.items():
        if name.removesuffix("[]") not in REPLACED:
            yield from ((name, value) for value in values)
    if operation == "transcriptions" and (language := language_code(params.language)):
        yield "language", language
    granularities = params.granularities_needed(model.timestamp_granularities)
    plain = "diarized_json" if params.response_format == "diarized_json" else "json"
    yield "response_format", "verbose_json" if granularities else plain
    if operation == "transcriptions":
        yield from (("timestamp_granularities[]", each) for each in sorted(granularities))


def _form(fields: list[tuple[str, str]], audio: UploadedAudio) -> tuple[bytes, bytes]:
    """Return the parts of the body before and after the bytes of the file."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    disposition = f'form-data; name="file"; filename="{audio.file_name}"'
    parts.append(f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: {audio.mime_type}\r\n\r\n")
    return "".join(parts).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()


async def _body(start: bytes, file: BinaryIO, end: bytes) -> AsyncIterator[bytes]:
    """Yield the body in pieces. They are not joined, as uvloop writes consecutive pieces in one system call."""
    yield start
    while piece := file.read(PIECE):
        yield piece
    yield end


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _read(answer: Answer, call: Call) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if answer.status != 200:
        raise error_of_answer(answer.status, body, answer.headers, call)
    if isinstance(body, dict) and body.get("error"):
        raise error_in_answer(body, call)
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        raise ProviderError(Reason.PROVIDER_ERROR, "The provider's answer holds no text.", retryable=True)
    return body


def transcription(answer: dict[str, Any]) -> Transcription:
    """Parse the response as the adapter would. Raises ProviderError."""
    try:
        return transcription_of(answer, 0.0)
    except (ValueError, LookupError, TypeError):
        message = "The provider's answer holds times that are none."
        raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from None


def speakers(answer: dict[str, Any]) -> list[Any]:
    """Return the segments of a response in diarized_json; none if they do not name speakers."""
    given = answer.get("segments")
    segments = given if isinstance(given, list) else []
    return segments if all(isinstance(each, dict) and "speaker" in each for each in segments) else []


def with_details(payload: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Add the fields of the provider's response that `payload` lacks, such as log probabilities or token details."""
    usage, segments = answer.get("usage"), answer.get("segments")
    payload = {**{name: value for name, value in answer.items() if name not in OURS}, **payload}
    if isinstance(usage, dict) and usage.get("type") == payload["usage"]["type"] == "tokens":
        payload["usage"] = usage
    if "segments" in payload and isinstance(segments, list) and len(segments) == len(payload["segments"]):
        payload["segments"] = [{**ours, **theirs} for ours, theirs in zip(payload["segments"], segments, strict=True)]
    return payload


LONGEST_ERROR = 64 * 1024  # bytes that are read of an error response


def can_relay_speech(adapter: Adapter, model: ModelConfig) -> TypeGuard[OpenAICompatible]:
    """Whether the request can be passed through; if not, the adapter has to make it."""
    return (
        isinstance(adapter, OpenAICompatible)
        and "stream_format" not in model.options
        and not needs_proxy(adapter.endpoint().base_url)
    )


async def relay_speech(
    wire: OpenAICompatible, model: ModelConfig, speech: SpeechRequest
) -> AsyncGenerator[SpeechPart, None]:
    """Send the request, and yield the speech as it arrives. Raises ProviderError."""
    endpoint, call = wire.endpoint(), Call(private=(speech.text, speech.instructions))
    encoding = encoding_for(model, speech.encoding)
    body = json.dumps(request_fields(model, speech, encoding)).encode()
    headers = {**endpoint.headers, "Content-Type": "application/json", "Accept": "audio/*"}
    url = f"{endpoint.base_url}/audio/speech"
    async with request("POST", url, headers, body, public_only=endpoint.public_only) as answer:
        content_type = answer.headers.get("content-type", "")
        if answer.status != 200 or content_type.startswith("application/json"):
            raise await _error(answer, call)
        async with aclosing(sound_parts(_pieces(answer), content_type, model, encoding)) as parts:
            async for part in parts:
                yield part


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[bytes, None]]:
    """Yield the bytes of the body, each with None in place of token counts, which only event streams have."""
    while True:
        try:
            async with asyncio.timeout(settings.PROVIDER_TIMEOUT_SECONDS):
                piece = await answer.content.readany()
        except TimeoutError:
            raise ProviderError(Reason.TIMEOUT, "The provider fell silent in mid-stream.", retryable=True) from None
        if not piece:
            return
        yield piece, None


async def _error(answer: aiohttp.ClientResponse, call: Call) -> ProviderError:
    taken = b""
    async for piece, _ in _pieces(answer):
        taken += piece
        if len(taken) > LONGEST_ERROR:
            break
    try:
        body: Any = json.loads(taken)
    except ValueError:
        body = None
    if answer.status == 200:
        return error_in_answer(body, call)
    return error_of_answer(answer.status, body, answer.headers, call)
