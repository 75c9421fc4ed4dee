"""`POST /v1/audio/speech`: synthesizes a text and streams the audio."""

import base64
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from gateway.audio.transcode import in_encoding
from gateway.catalog import ModelTarget, catalog_for
from gateway.errors import invalid
from gateway.http.errors import envelope, of_provider
from gateway.http.metering import SERVED_BY, first_in_time, first_success, metered
from gateway.http.passthrough import can_relay_speech, relay_speech
from gateway.http.request import STREAM_HEADERS, Request, StreamingResponse
from gateway.usage.metering import Usage
from providers.adapters.base import (
    AudioEncoding,
    ProviderError,
    SpeechPart,
    SpeechRequest,
    SpeechSynthesizer,
    StreamingSynthesizer,
    as_synthesizer,
)
from providers.reasons import Reason

MAX_BODY = 256 * 1024  # bytes: fits the longest text in JSON escapes, with instructions
MAX_CHARACTERS = 4096
SLOWEST, FASTEST = 0.25, 4.0
CONTENT_TYPES: dict[AudioEncoding, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


@dataclass(frozen=True)
class SpeechParams:
    """Parameters of the request."""

    model: str
    speech: SpeechRequest
    stream_format: Literal["audio", "sse"]

    @property
    def characters(self) -> int:
        return len(self.speech.text)


async def speak(request: Request) -> None:
    """Stream the audio, or server-sent events that contain it.

    Until the provider's first byte other models of an alias are tried; a later failure breaks off the response.
    """
    body = await request.read_all(MAX_BODY)
    params = read_params(body)
    targets = (await catalog_for(request.access)).find_for("tts", params.model)
    async with metered(request, "speech", params.model) as usage:
        usage.body_sha256 = hashlib.sha256(body).hexdigest()
        target, (first, rest) = await first_success(usage, targets, lambda target: _begin(target, params, usage))
        async with aclosing(rest):
            usage.note_first_byte()
            pieces = _pieces(params, usage, target, first, rest)
            headers = {SERVED_BY: target.name, **STREAM_HEADERS}
            await request.respond(StreamingResponse(pieces, _content_type(params), headers))


# --- parameters -------------------------------------------------------------------------------------


def read_params(body: bytes) -> SpeechParams:
    """Parse and check the body. Raises ApiError 400 with the name of the wrong parameter."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError too
        raise invalid("The body is not JSON. Send an object with 'model', 'input' and 'voice'.") from None
    if not isinstance(given, dict):
        raise invalid("The body is no JSON object. Send one with 'model', 'input' and 'voice'.")
    given = {name: value for name, value in given.items() if value is not None}
    text = _text(given, "input")
    if len(text) > MAX_CHARACTERS:
        message = f"'input' has {len(text)} characters; at most {MAX_CHARACTERS} are spoken at once. Split the text."
        raise invalid(message, "input", "string_above_max_length")
    if not isinstance(given.get("stream", False), bool):
        raise invalid("'stream' must be true or false.", "stream")
    return SpeechParams(
        model=_text(given, "model"),
        speech=SpeechRequest(
            text=text,
            voice=_voice(given),
            speed=_speed(given),
            instructions=_text(given, "instructions") if given.get("instructions") else "",
            encoding=cast(AudioEncoding, _one_of(given, "response_format", get_args(AudioEncoding), "mp3")),
        ),
        stream_format=cast(Literal["audio", "sse"], _one_of(given, "stream_format", ("audio", "sse"), "audio")),
    )


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None:
        raise invalid(f"'{name}' is missing.", name, "missing_required_parameter")
    if not isinstance(value, str):
        raise invalid(f"'{name}' must be a text.", name, "invalid_type")
    if not value.strip():
        raise invalid(f"'{name}' is empty.", name, "empty_string")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise invalid(f"'{name}' holds half of a character (a lone surrogate).", name, "invalid_value")
    return value


def _voice(given: dict[str, Any]) -> str:
    """Return the voice, given as a name or, for custom voices, as an object with an `id`."""
    if isinstance(given.get("voice"), dict):
        given = {"voice": given["voice"].get("id")}
    return _text(given, "voice")


def _speed(given: dict[str, Any]) -> float:
    speed = given.get("speed", 1.0)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not SLOWEST <= speed <= FASTEST:
        raise invalid(f"'speed' must be a number from {SLOWEST} to {FASTEST}.", "speed", "invalid_value")
    return float(speed)


def _one_of(given: dict[str, Any], name: str, choices: tuple[str, ...], usual: str) -> str:
    value = given.get(name, usual)
    if value not in choices:
        raise invalid(f"'{name}' must be one of: {', '.join(choices)}.", name, "invalid_value")
    return str(value)


# --- response ---------------------------------------------------------------------------------------


async def _begin(target: ModelTarget, params: SpeechParams, usage: Usage) -> tuple[bytes, AsyncGenerator[bytes, None]]:
    """Return the first piece of the audio, and the rest, which the caller closes. Raises ProviderError."""
    usage.characters = (
        params.characters
    )  # set before the call: it may be charged even if the client disconnects before the first byte
    audio = in_encoding(_parts(target, params.speech, usage), params.speech.encoding)
    try:
        first = await anext(audio, None)
        if first is None:
            raise ProviderError(Reason.PROVIDER_ERROR, "The provider answered with no audio.", retryable=True)
    except ProviderError:
        usage.characters = None
        raise
    return first, audio


async def _parts(target: ModelTarget, speech: SpeechRequest, usage: Usage) -> AsyncGenerator[SpeechPart, None]:
    """Yield the speech as the provider sends it, and copy its token counts to `usage`."""
    async with target.slot(is_last=usage.is_last), aclosing(_spoken(target, speech)) as parts:
        part = await first_in_time(parts)
        while part is not None:
            if part.input_tokens is not None or part.output_tokens is not None:
                usage.input_tokens, usage.output_tokens = part.input_tokens, part.output_tokens
            yield part
            part = await anext(parts, None)


def _spoken(target: ModelTarget, speech: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
    """Synthesize by pass-through if possible, else by the adapter, streaming if it can. Raises ProviderError."""
    adapter = target.adapter
    if can_relay_speech(adapter, target.config):
        return relay_speech(adapter, target.config, speech)
    if isinstance(adapter, StreamingSynthesizer):
        return adapter.stream_speech(target.config, speech)
    return _at_once(as_synthesizer(adapter), target, speech)


async def _at_once(
    speaker: SpeechSynthesizer, target: ModelTarget, speech: SpeechRequest
) -> AsyncGenerator[SpeechPart, None]:
    whole = await speaker.speak(target.config, speech)
    yield SpeechPart(whole.audio, "wav", whole.sample_rate, whole.input_tokens, whole.output_tokens)


def _content_type(params: SpeechParams) -> str:
    return (
        "text/event-stream; charset=utf-8" if params.stream_format == "sse" else CONTENT_TYPES[params.speech.encoding]
    )


async def _pieces(
    params: SpeechParams, usage: Usage, target: ModelTarget, first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield the body of the response. Raises ApiError if the provider fails, which breaks off the response."""
    yield _piece(params, first)
    try:
        async for audio in rest:
            yield _piece(params, audio)
    except ProviderError as error:
        problem = of_provider(error, target.name)
        if params.stream_format == "sse":
            yield b"data: " + envelope(problem) + b"\n\n"
        raise problem from error
    if params.stream_format == "sse":
        yield _last_event(params, usage)


def _piece(params: SpeechParams, audio: bytes) -> bytes:
    if params.stream_format == "audio":
        return audio
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()})


def _last_event(params: SpeechParams, usage: Usage) -> bytes:
    """Return the final event, with `characters` besides OpenAI's token counts, which few providers report."""
    read, spoken = usage.input_tokens, usage.output_tokens
    total = None if read is None or spoken is None else read + spoken
    counts = {"input_tokens": read, "output_tokens": spoken, "total_tokens": total, "characters": params.characters}
    return _event({"type": "speech.audio.done", "usage": counts})


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
