"""`POST /v1/audio/transcriptions` and `/translations`: an audio file in, its text out, in the format asked for."""

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
from gateway.audio.provider_upload import put_at
from gateway.audio.upload import UploadedAudio, as_taken, ingest
from gateway.catalog import ModelTarget, Task, catalog_for
from gateway.errors import invalid
from gateway.http import passthrough
from gateway.http.errors import envelope, of_provider
from gateway.http.formats import CONTENT_TYPES, Transcript, as_object, as_text, transcript_of, usage_of
from gateway.http.metering import SERVED_BY, first_in_time, first_success, metered
from gateway.http.multipart import Form, read_form
from gateway.http.params import TranscriptionParams, read_params
from gateway.http.request import Request, StreamingResponse
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
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Kind:
    """What the two endpoints differ in."""

    task: Task
    endpoint: Literal["transcription", "translation"]
    operation: passthrough.Operation
    word: Literal["transcribe", "translate"]


TRANSCRIPTION = Kind("stt", "transcription", "transcriptions", "transcribe")
TRANSLATION = Kind("translation", "translation", "translations", "translate")


@dataclass(frozen=True)
class TranscriptionCall:
    """One request, understood."""

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
    async with _understood(request, kind) as call:
        async with metered(request, kind.endpoint, call.params.model) as usage:
            usage.audio_seconds = call.audio.duration
            try:
                if call.params.stream:
                    await _answer_in_events(request, call, usage)
                else:
                    await _answer_at_once(request, call, usage)
            finally:
                usage.body_sha256 = call.form.body_hash.hex()


@asynccontextmanager
async def _understood(request: Request, kind: Kind) -> AsyncIterator[TranscriptionCall]:
    """Raises ApiError where the request makes no sense, before anything is paid for."""
    form = await read_form(request)
    try:
        params = read_params(form)
        targets = (await catalog_for(request.access)).find_for(kind.task, params.model)
        audio = await _taken_in(form, request.access.workspace.pk, targets)
        yield TranscriptionCall(kind, form, params, audio, _that_take(audio, targets))
    finally:
        form.close()


async def _taken_in(form: Form, workspace_id: int, targets: list[ModelTarget]) -> UploadedAudio:
    """Raises ApiError 400, also where the audio is longer than each of the models takes."""
    if form.file is None or not form.file.tell():
        raise invalid("The file is empty.", "file", "empty_file")
    longest = max(map(_longest, targets))
    try:
        return await ingest(form.file, workspace_id=workspace_id, max_seconds=longest)
    except InvalidAudio as error:
        message = error.message
        if error.code is AudioReason.TOO_LONG and longest < settings.MAX_AUDIO_HOURS * 3600:
            message = f"The audio is too long: the model takes {longest:.0f} seconds. Cut it."
        raise invalid(message, "file", f"audio_{error.code}") from error


def _that_take(audio: UploadedAudio, targets: list[ModelTarget]) -> list[ModelTarget]:
    """Those that take audio of this length."""
    return [target for target in targets if audio.duration <= _longest(target)]


def _longest(target: ModelTarget) -> float:
    """Seconds of audio that the model takes."""
    return target.model.max_audio_seconds or math.inf


# --- the whole answer at once -------------------------------------------------------------------------


async def _answer_at_once(request: Request, call: TranscriptionCall, usage: Usage) -> None:
    target, (transcription, raw) = await first_success(usage, call.targets, partial(_ask, call, usage))
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


async def _ask(call: TranscriptionCall, usage: Usage, target: ModelTarget) -> tuple[Transcription, dict[str, Any]]:
    """What the model hears, and its provider's own answer where the request was passed on as it is."""
    async with _in_format(call.audio, target) as audio:
        endpoint = target.wire.endpoint() if target.wire else None
        async with target.slot(is_last=usage.is_last):
            if endpoint and passthrough.can_relay_transcription(endpoint, target.config, audio):
                raw = await passthrough.relay_transcription(
                    endpoint, target.config, call.kind.operation, call.form, call.params, audio
                )
                transcription = passthrough.transcription(raw)
            elif call.params.response_format == "diarized_json":
                raise _no_speakers(target)
            else:
                raw, transcription = {}, await _ask_adapter(target, call, audio)
    if call.params.response_format == "diarized_json" and transcription.text and not passthrough.speakers(raw):
        raise _no_speakers(target)
    return transcription, raw


def _no_speakers(target: ModelTarget) -> CapabilityNotSupported:
    return CapabilityNotSupported(f"{target.name} does not tell speakers apart: it makes no diarized_json.")


async def _ask_adapter(target: ModelTarget, call: TranscriptionCall, audio: UploadedAudio) -> Transcription:
    async with _put_there(audio, target) as remote:
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
    if transcription.truncated:  # a part would pass for the whole
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
async def _put_there(audio: UploadedAudio, target: ModelTarget) -> AsyncIterator[RemoteAudio | None]:
    """Where the provider finds audio that no request to it can hold; None for all other. Raises ProviderError."""
    if target.store and target.store.wants_upload(audio.mime_type, audio.size):
        async with put_at(target.store, audio) as remote:
            yield remote
    else:
        yield None


@asynccontextmanager
async def _in_format(audio: UploadedAudio, target: ModelTarget) -> AsyncIterator[UploadedAudio]:
    """The audio as the model takes it. Raises ProviderError."""
    try:
        taken = await as_taken(audio, _formats(audio, target))
    except InvalidAudio as error:
        raise ProviderError(Reason.UNSUPPORTED_FORMAT, error.message) from error
    try:
        yield taken
    finally:
        if taken is not audio:
            taken.close()


def _formats(audio: UploadedAudio, target: ModelTarget) -> Sequence[str]:
    """Of which the model takes one; none: any."""
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


# --- as it is written ---------------------------------------------------------------------------------


async def _answer_in_events(request: Request, call: TranscriptionCall, usage: Usage) -> None:
    target, (first, rest) = await first_success(usage, call.targets, partial(_begin, call, usage))
    async with aclosing(rest):
        usage.note_first_byte()
        headers = {SERVED_BY: target.name, **STREAM_HEADERS}
        await request.respond(StreamingResponse(_events(call, usage, target, first, rest), EVENTS, headers))


async def _begin(
    call: TranscriptionCall, usage: Usage, target: ModelTarget
) -> tuple[TranscriptionPart, AsyncGenerator[TranscriptionPart, None]]:
    """The first part of the text, and the rest as it comes."""
    parts = _parts(call, usage, target)
    first = await anext(parts, None)
    if first is None:
        raise _ended_early()
    return first, parts


async def _parts(call: TranscriptionCall, usage: Usage, target: ModelTarget) -> AsyncGenerator[TranscriptionPart, None]:
    """The text as the model writes it; where its provider does not stream, all of it at the end."""
    adapter = target.adapter
    if isinstance(adapter, StreamingTranscriber) and call.kind is TRANSCRIPTION:
        async with _in_format(call.audio, target) as audio, target.slot(is_last=usage.is_last):
            async with aclosing(adapter.stream_transcription(target.config, _request(call, target, audio))) as parts:
                part = await first_in_time(parts)
                while part is not None:
                    yield part
                    part = await anext(parts, None)
    else:
        transcription, _ = await _ask(call, usage, target)
        yield TranscriptionPart(final=transcription)


async def _events(
    call: TranscriptionCall,
    usage: Usage,
    target: ModelTarget,
    first: TranscriptionPart,
    rest: AsyncGenerator[TranscriptionPart, None],
) -> AsyncGenerator[bytes, None]:
    """The body of the answer. Raises ApiError where the provider fails, also where its stream ends without saying that
    it is whole: the answer breaks off."""
    part: TranscriptionPart | None = first
    final, sent = None, False
    try:
        while part is not None:
            final = part.final or final
            # Who does not stream has a whole only.
            if delta := part.delta or (final.text if final and not sent else ""):
                yield _event({"type": "transcript.text.delta", "delta": delta})
                sent = True
            part = await anext(rest, None)
        if final is None:
            raise _ended_early()
    except ProviderError as error:
        problem = of_provider(error, target.name)
        yield b"data: " + envelope(problem) + b"\n\n"
        raise problem from error
    usage.input_tokens, usage.output_tokens = final.input_tokens, final.output_tokens
    done = {"type": "transcript.text.done", "text": final.text, "usage": usage_of(final, call.audio.duration)}
    yield _event(done) + b"data: [DONE]\n\n"


def _ended_early() -> ProviderError:
    return ProviderError(Reason.PROVIDER_ERROR, "The provider's answer ended before its end.", retryable=True)


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
