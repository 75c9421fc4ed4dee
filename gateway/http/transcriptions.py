"""`POST /v1/audio/transcriptions` and `/translations`: transcribes or translates an audio file."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from django.conf import settings
from starlette.responses import Response

from datasets.errors import AudioReason, InvalidAudio
from gateway.audio.provider_upload import uploaded_to
from gateway.audio.upload import UploadedAudio, in_accepted_format, ingest
from gateway.catalog import ModelTarget, Task, catalog_for
from gateway.errors import invalid
from gateway.http import passthrough
from gateway.http.errors import envelope, of_provider
from gateway.http.formats import CONTENT_TYPES, Transcript, as_object, as_text, transcript_of, usage_of
from gateway.http.metering import SERVED_BY, first_in_time, first_success, metered
from gateway.http.multipart import Form, read_form
from gateway.http.params import TranscriptionParams, read_params
from gateway.http.request import STREAM_HEADERS, Request, StreamingResponse
from gateway.usage.metering import Usage
from providers.adapters.base import (
    CapabilityNotSupported,
    ProviderError,
    RemoteAudio,
    StreamingTranscriber,
    Transcription,
    TranscriptionPart,
    TranscriptionRequest,
    as_transcriber,
    as_translator,
)
from providers.reasons import Reason

EVENTS = "text/event-stream; charset=utf-8"


@dataclass(frozen=True)
class Kind:
    """The differences between the two endpoints."""

    task: Task
    endpoint: Literal["transcription", "translation"]
    operation: passthrough.Operation
    word: Literal["transcribe", "translate"]


TRANSCRIPTION = Kind("stt", "transcription", "transcriptions", "transcribe")
TRANSLATION = Kind("translation", "translation", "translations", "translate")


@dataclass(frozen=True)
class TranscriptionCall:
    """A request with its parsed parameters, its audio and the models that may serve it."""

    kind: Kind
    form: Form
    params: TranscriptionParams
    audio: UploadedAudio
    targets: list[ModelTarget]


async def transcribe(request: Request) -> None:
    await _serve(request, TRANSCRIPTION)


async def translate(request: Request) -> None:
    await _serve(request, TRANSLATION)


async def _serve(request: Request, kind: Kind) -> None:
    async with _parsed_call(request, kind) as call:
        async with metered(request, kind.endpoint, call.params.model) as usage:
            usage.audio_seconds = call.audio.duration
            try:
                if call.params.stream:
                    await _respond_streaming(request, call, usage)
                else:
                    await _respond_whole(request, call, usage)
            finally:
                usage.body_sha256 = call.form.body_hash.hex()


@asynccontextmanager
async def _parsed_call(request: Request, kind: Kind) -> AsyncIterator[TranscriptionCall]:
    """Parse the request; its audio is deleted on exit. Raises ApiError for an invalid request."""
    form = await read_form(request)
    try:
        params = read_params(form)
        targets = (await catalog_for(request.access)).find_for(kind.task, params.model)
        audio = await _ingested(form, request.access.workspace.pk, targets)
        yield TranscriptionCall(kind, form, params, audio, _accepting(audio, targets))
    finally:
        form.close()


async def _ingested(form: Form, workspace_id: int, targets: list[ModelTarget]) -> UploadedAudio:
    """Read the uploaded file. Raises ApiError 400, also if the audio is too long for every model."""
    if form.file is None or not form.file.tell():
        raise invalid("The file is empty.", "file", "empty_file")
    longest = max(map(_max_seconds, targets))
    try:
        return await ingest(form.file, workspace_id=workspace_id, max_seconds=longest)
    except InvalidAudio as error:
        message = error.message
        if error.code is AudioReason.TOO_LONG and longest < settings.MAX_AUDIO_HOURS * 3600:
            message = f"The audio is too long: the model takes {longest:.0f} seconds. Cut it."
        raise invalid(message, "file", f"audio_{error.code}") from error


def _accepting(audio: UploadedAudio, targets: list[ModelTarget]) -> list[ModelTarget]:
    """Return the targets that accept audio of this length."""
    return [target for target in targets if audio.duration <= _max_seconds(target)]


def _max_seconds(target: ModelTarget) -> float:
    """Return the longest audio that the model accepts, in seconds."""
    return target.model.max_audio_seconds or math.inf


# --- without streaming --------------------------------------------------------------------------------


async def _respond_whole(request: Request, call: TranscriptionCall, usage: Usage) -> None:
    target, (transcription, raw) = await first_success(
        usage, call.targets, partial(_request_transcription, call, usage)
    )
    transcript = _transcript(call, target, transcription)
    usage.input_tokens, usage.output_tokens = transcription.input_tokens, transcription.output_tokens
    wanted = call.params.response_format
    if CONTENT_TYPES[wanted] == "application/json":
        payload = passthrough.with_details(as_object(transcript, wanted, call.params.timestamp_granularities), raw)
        if wanted == "diarized_json":
            payload["segments"] = passthrough.speakers(raw)
        body = json.dumps(payload, ensure_ascii=False).encode()
    else:
        body = as_text(transcript, wanted)
    usage.note_first_byte()
    await request.respond(Response(body, headers={SERVED_BY: target.name}, media_type=CONTENT_TYPES[wanted]))


async def _request_transcription(
    call: TranscriptionCall, usage: Usage, target: ModelTarget
) -> tuple[Transcription, dict[str, Any]]:
    """Transcribe by `target`. Returns the transcription, and the provider's response if the request was passed through,
    else {}. Raises ProviderError."""
    async with _accepted_audio(call.audio, target) as audio:
        endpoint = target.openai_compatible.endpoint() if target.openai_compatible else None
        async with target.slot(is_last=usage.is_last):
            if endpoint and passthrough.can_relay_transcription(endpoint, target.config, audio):
                raw = await passthrough.relay_transcription(
                    endpoint, target.config, call.kind.operation, call.form, call.params, audio
                )
                transcription = passthrough.transcription(raw)
            elif call.params.response_format == "diarized_json":
                raise _no_speakers(target)
            else:
                raw, transcription = {}, await _transcribe_by_adapter(target, call, audio)
    if call.params.response_format == "diarized_json" and transcription.text and not passthrough.speakers(raw):
        raise _no_speakers(target)
    return transcription, raw


def _no_speakers(target: ModelTarget) -> CapabilityNotSupported:
    return CapabilityNotSupported(f"{target.name} does not tell speakers apart: it makes no diarized_json.")


async def _transcribe_by_adapter(target: ModelTarget, call: TranscriptionCall, audio: UploadedAudio) -> Transcription:
    async with _uploaded(audio, target) as remote:
        request = _request(call, target, audio, remote)
        if call.kind is TRANSLATION:
            answer = as_translator(target.adapter).translate(target.config, request)
        else:
            answer = as_transcriber(target.adapter).transcribe(target.config, request)
        try:
            async with asyncio.timeout(settings.CALL_TIMEOUT_SECONDS):
                transcription = await answer
        except TimeoutError:
            raise ProviderError(Reason.TIMEOUT, "The model did not answer in time.", retryable=True) from None
    if transcription.truncated:  # an incomplete text must not look complete
        raise ProviderError(Reason.CUT_OFF, "The text is longer than the model's answers may be. Cut the audio.")
    return transcription


def _request(
    call: TranscriptionCall, target: ModelTarget, audio: UploadedAudio, remote: RemoteAudio | None = None
) -> TranscriptionRequest:
    return TranscriptionRequest(
        audio,
        language=call.params.language,
        prompt=target.prompt(call.params.prompt),
        remote=remote,
        temperature=call.params.temperature,
        timestamp_granularities=call.params.granularities_needed(target.config.timestamp_granularities),
    )


@asynccontextmanager
async def _uploaded(audio: UploadedAudio, target: ModelTarget) -> AsyncIterator[RemoteAudio | None]:
    """Upload audio that the provider does not accept inline to its file store; yields None for other audio. Raises
    ProviderError."""
    if target.store and target.store.wants_upload(audio.mime_type, audio.size):
        async with uploaded_to(target.store, audio) as remote:
            yield remote
    else:
        yield None


@asynccontextmanager
async def _accepted_audio(audio: UploadedAudio, target: ModelTarget) -> AsyncIterator[UploadedAudio]:
    """Yield the audio in a format that the model accepts. Raises ProviderError."""
    try:
        taken = await in_accepted_format(audio, _formats(audio, target))
    except InvalidAudio as error:
        raise ProviderError(Reason.UNSUPPORTED_FORMAT, error.message) from error
    try:
        yield taken
    finally:
        if taken is not audio:
            taken.close()


def _formats(audio: UploadedAudio, target: ModelTarget) -> Sequence[str]:
    """Return the formats of which the model accepts any; empty: all formats."""
    if formats := target.config.options.get("audio_formats"):
        return list(formats)
    return ["flac"] if target.store and not target.store.takes(audio.mime_type) else []


def _transcript(call: TranscriptionCall, target: ModelTarget, transcription: Transcription) -> Transcript:
    only = target.model.languages if len(target.model.languages) == 1 else []
    known = "en" if call.kind is TRANSLATION else call.params.language or "".join(only)
    return transcript_of(
        transcription,
        task=call.kind.word,
        duration=call.audio.duration,
        language=known,
        temperature=call.params.temperature or 0.0,
    )


# --- streaming ----------------------------------------------------------------------------------------


async def _respond_streaming(request: Request, call: TranscriptionCall, usage: Usage) -> None:
    target, (first, rest) = await first_success(usage, call.targets, partial(_first_part, call, usage))
    async with aclosing(rest):
        usage.note_first_byte()
        headers = {SERVED_BY: target.name, **STREAM_HEADERS}
        await request.respond(StreamingResponse(_events(call, usage, target, first, rest), EVENTS, headers))


async def _first_part(
    call: TranscriptionCall, usage: Usage, target: ModelTarget
) -> tuple[TranscriptionPart, AsyncGenerator[TranscriptionPart, None]]:
    """Return the first part of the stream, and the rest. Raises ProviderError."""
    parts = _parts(call, usage, target)
    first = await anext(parts, None)
    if first is None:
        raise _incomplete_stream()
    return first, parts


async def _parts(call: TranscriptionCall, usage: Usage, target: ModelTarget) -> AsyncGenerator[TranscriptionPart, None]:
    """Yield the parts of the transcription; only the final one if the provider does not stream."""
    adapter = target.adapter
    if isinstance(adapter, StreamingTranscriber) and call.kind is TRANSCRIPTION:
        async with _accepted_audio(call.audio, target) as audio, target.slot(is_last=usage.is_last):
            async with aclosing(adapter.stream_transcription(target.config, _request(call, target, audio))) as parts:
                part = await first_in_time(parts)
                while part is not None:
                    yield part
                    part = await anext(parts, None)
    else:
        transcription, _ = await _request_transcription(call, usage, target)
        yield TranscriptionPart(final=transcription)


async def _events(
    call: TranscriptionCall,
    usage: Usage,
    target: ModelTarget,
    first: TranscriptionPart,
    rest: AsyncGenerator[TranscriptionPart, None],
) -> AsyncGenerator[bytes, None]:
    """Yield the body of the response. Raises ApiError, which breaks off the response, if the provider fails or its
    stream ends without a final part."""
    part: TranscriptionPart | None = first
    final, sent = None, False
    try:
        while part is not None:
            final = part.final or final
            # Without streaming there is only the final part: send its text as one delta.
            if delta := part.delta or (final.text if final and not sent else ""):
                yield _event({"type": "transcript.text.delta", "delta": delta})
                sent = True
            part = await anext(rest, None)
        if final is None:
            raise _incomplete_stream()
    except ProviderError as error:
        problem = of_provider(error, target.name)
        yield b"data: " + envelope(problem) + b"\n\n"
        raise problem from error
    usage.input_tokens, usage.output_tokens = final.input_tokens, final.output_tokens
    done = {"type": "transcript.text.done", "text": final.text, "usage": usage_of(final, call.audio.duration)}
    yield _event(done) + b"data: [DONE]\n\n"


def _incomplete_stream() -> ProviderError:
    return ProviderError(Reason.PROVIDER_ERROR, "The provider's answer ended before its end.", retryable=True)


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
