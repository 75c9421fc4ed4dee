"""Requests passed on to providers that speak OpenAI's protocol themselves: the same form, under the model's own name.

No SDK and no model of the answer lie between; only as much of it is read as its usage and its times need.
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

PIECE = 256 * 1024  # bytes of a file read and sent at once
BOUNDARY = secrets.token_hex(16)  # of this process: nobody can put it into a file

# Ours to say, whatever the client has said.
REPLACED = {"model", "file", "response_format", "stream", "language", "timestamp_granularities"}
OURS = {"usage", "segments", "words"}  # in answers, as far as it is asked for


def can_relay_transcription(endpoint: Endpoint, model: ModelConfig, audio: UploadedAudio) -> bool:
    """Whether the model takes the audio as it is, and its provider a plain request: otherwise the adapter knows how."""
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
    """The provider's answer, which has a `text`. Raises ProviderError."""
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
    """What comes before the file's bytes, and after them."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    disposition = f'form-data; name="file"; filename="{audio.file_name}"'
    parts.append(f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: {audio.mime_type}\r\n\r\n")
    return "".join(parts).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()


async def _body(start: bytes, file: BinaryIO, end: bytes) -> AsyncIterator[bytes]:
    """The whole in pieces, none of them copied: uvloop writes those together that come without a pause."""
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
    """The answer as the adapter would have read it. Raises ProviderError."""
    try:
        return transcription_of(answer, 0.0)
    except (ValueError, LookupError, TypeError):
        message = "The provider's answer holds times that are none."
        raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from None


def speakers(answer: dict[str, Any]) -> list[Any]:
    """The segments of an answer in diarized_json; none where they name no speakers."""
    given = answer.get("segments")
    segments = given if isinstance(given, list) else []
    return segments if all(isinstance(each, dict) and "speaker" in each for each in segments) else []


def with_details(payload: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Our answer with what the provider says beyond it: log probabilities, details of its tokens, and so on."""
    usage, segments = answer.get("usage"), answer.get("segments")
    payload = {**{name: value for name, value in answer.items() if name not in OURS}, **payload}
    if isinstance(usage, dict) and usage.get("type") == payload["usage"]["type"] == "tokens":
        payload["usage"] = usage
    if "segments" in payload and isinstance(segments, list) and len(segments) == len(payload["segments"]):
        payload["segments"] = [{**ours, **theirs} for ours, theirs in zip(payload["segments"], segments, strict=True)]
    return payload


LONGEST_ERROR = 64 * 1024  # bytes that are read of an answer which is none


def can_relay_speech(adapter: Adapter, model: ModelConfig) -> TypeGuard[OpenAICompatible]:
    """Whether the provider takes a plain request and answers with plain audio: otherwise the adapter knows how."""
    return (
        isinstance(adapter, OpenAICompatible)
        and "stream_format" not in model.options
        and not needs_proxy(adapter.endpoint().base_url)
    )


async def relay_speech(
    wire: OpenAICompatible, model: ModelConfig, speech: SpeechRequest
) -> AsyncGenerator[SpeechPart, None]:
    """What the provider says, as it comes. Raises ProviderError."""
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
    """Providers' events, which hold tokens, are for the adapter: there are no counts here."""
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
