"""Requests for speech, and the detection of the format of the response."""

import base64
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import httpx2

from providers.adapters.base import AudioEncoding, ModelConfig, ProviderError, Speech, SpeechPart, SpeechRequest
from providers.adapters.openai.errors import Call, broken_off, error_in_answer
from providers.adapters.openai.events import Event, event_stream
from providers.adapters.openai.responses import tokens_of
from providers.reasons import Reason
from providers.wav import wav_file

if TYPE_CHECKING:
    import openai

RATE = 24_000  # Hz, of OpenAI; overridden by the model's option `sample_rate` or the response's MIME type
DEFAULT_VOICE = "alloy"
HEAD = 44  # bytes: smallest header of a WAV file
LARGEST_ANSWER = 256 * 1024 * 1024  # bytes of a whole response

ENCODINGS: dict[str, AudioEncoding] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/opus": "opus",
    "audio/ogg": "opus",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/pcm": "pcm",
    "audio/l16": "pcm",
}


def request_fields(model: ModelConfig, request: SpeechRequest, encoding: AudioEncoding) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": model.upstream_name,
        "input": request.text,
        "voice": request.voice or model.options.get("voice", DEFAULT_VOICE),
        "response_format": encoding,
    }
    if request.speed != 1.0:
        fields["speed"] = request.speed
    if request.instructions:
        fields["instructions"] = request.instructions
    if stream_format := model.options.get("stream_format"):
        fields["stream_format"] = stream_format
    return fields


def encoding_for(model: ModelConfig, preferred: AudioEncoding) -> AudioEncoding:
    """Return the encoding to request: the preferred one if the model supports it, else the model's first."""
    answered = model.options.get("speech_formats") or [preferred]
    return preferred if preferred in answered else cast(AudioEncoding, answered[0])


async def speech_parts(
    client: "openai.AsyncOpenAI", answer: httpx2.Response, model: ModelConfig, asked: AudioEncoding, call: Call
) -> AsyncGenerator[SpeechPart, None]:
    """Yield the audio of a response as it arrives. Raises ProviderError if it contains none, or breaks off."""
    content_type = answer.headers.get("content-type", "")
    if content_type.startswith("application/json"):
        await answer.aread()
        raise error_in_answer(answer.json(), call)
    pieces = (
        _of_events(event_stream(client, answer)) if content_type.startswith("text/event-stream") else _of_bytes(answer)
    )
    async with aclosing(sound_parts(pieces, content_type, model, asked)) as parts:
        async for part in parts:
            yield part


async def sound_parts(
    pieces: AsyncIterator[tuple[bytes, object]], content_type: str, model: ModelConfig, asked: AudioEncoding
) -> AsyncGenerator[SpeechPart, None]:
    """Detect encoding and sample rate of `pieces`: bytes of a response, each with its `usage` object or None. Raises
    ProviderError if there is no audio."""
    rate = int(model.options.get("sample_rate", RATE))
    encoding, rate = _by_type(content_type, asked, rate)
    begun, held = False, b""
    async for piece, usage in pieces:
        held += piece
        if not begun and len(held) < HEAD and usage is None:
            continue
        if not begun and held[:4] == b"RIFF":
            encoding, rate = "wav", sample_rate(held)
        begun = begun or bool(held)
        if begun:
            yield SpeechPart(held, encoding, rate, *tokens_of(usage))
            held = b""
    if held:
        yield SpeechPart(held, encoding, rate)
    elif not begun:
        raise ProviderError(Reason.PROVIDER_ERROR, "The provider's answer holds no sound.", retryable=True)


def _by_type(content_type: str, asked: AudioEncoding, rate: int) -> tuple[AudioEncoding, int]:
    """Return encoding and sample rate by the MIME type; `asked` and `rate` if it does not tell."""
    bare, *parameters = [part.strip().lower() for part in content_type.split(";")]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "rate" and value.isdigit():
            rate = int(value)
    return ENCODINGS.get(bare, asked), rate


async def _of_bytes(answer: httpx2.Response) -> AsyncIterator[tuple[bytes, object]]:
    async for piece in answer.aiter_bytes():
        yield piece, None


async def _of_events(events: AsyncIterator[Event]) -> AsyncIterator[tuple[bytes, object]]:
    """Yield the audio of the events, and at the end the `usage` object."""
    async for event in events:
        if event.get("type") == "speech.audio.delta":
            yield base64.b64decode(event["audio"], validate=True), None
        elif event.get("type") == "speech.audio.done":
            yield b"", event.get("usage") or {}
            return
    raise broken_off()


async def whole_speech(parts: AsyncGenerator[SpeechPart, None]) -> Speech:
    """Join the parts to a WAV file with a correct header. Raises ProviderError if they are neither WAV nor PCM."""
    sound = bytearray()
    last = SpeechPart(b"", "pcm", RATE)
    async for last in parts:
        sound += last.audio
        if len(sound) > LARGEST_ANSWER:
            raise ProviderError(Reason.PROVIDER_ERROR, f"The answer has more than {LARGEST_ANSWER} bytes.")
    if last.encoding not in ("wav", "pcm"):
        raise ProviderError(Reason.PROVIDER_ERROR, f"The provider answered in {last.encoding}, not in WAV or PCM.")
    wav = with_sizes(sound) if last.encoding == "wav" else wav_file(bytes(sound), last.sample_rate)
    return Speech(wav, last.sample_rate, last.input_tokens, last.output_tokens)


def sample_rate(wav: bytes) -> int:
    """Return the sample rate (Hz) of a WAV file whose first chunk is `fmt `. Raises ValueError."""
    rate: int = struct.unpack_from("<I", wav, 24)[0]
    if not 1000 <= rate <= 384_000:
        raise ValueError("no sample rate")
    return rate


def with_sizes(wav: bytearray) -> bytes:
    """Correct the sizes in the header of a WAV file that was written as a stream."""
    at = 12
    while wav[at : at + 4] != b"data":
        at += 8 + struct.unpack_from("<I", wav, at + 4)[0]
        if at + 8 > len(wav):
            raise ValueError("no data in the WAV file")
    claimed, real = struct.unpack_from("<I", wav, at + 4)[0], len(wav) - at - 8
    if claimed == 0 or claimed > real:
        struct.pack_into("<I", wav, 4, len(wav) - 8)
        struct.pack_into("<I", wav, at + 4, real)
    return bytes(wav)
