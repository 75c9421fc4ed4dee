"""The adapters of the provider kinds `openai` and `openai_compatible`."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import httpx2
from django.conf import settings

from providers.adapters.base import (
    ChatPart,
    ChatRequest,
    Endpoint,
    ModelConfig,
    ProviderConfig,
    ProviderError,
    Speech,
    SpeechPart,
    SpeechRequest,
    Transcription,
    TranscriptionPart,
    TranscriptionRequest,
)
from providers.adapters.kinds import KindInfo
from providers.adapters.loop_clients import LoopClients
from providers.adapters.openai import chat, speech
from providers.adapters.openai.audio import audio_file
from providers.adapters.openai.catalogue import CATALOGUE
from providers.adapters.openai.chat import chat_parts
from providers.adapters.openai.clients import make_client
from providers.adapters.openai.errors import Call, error_in_answer, provider_errors
from providers.adapters.openai.events import event_stream, is_event_stream
from providers.adapters.openai.options import problem_with_model
from providers.adapters.openai.responses import read_transcription, request_fields
from providers.adapters.openai.sdk import sdk
from providers.adapters.openai.speech import encoding_for, speech_parts, whole_speech
from providers.adapters.openai.transcript_stream import transcript_parts
from providers.reasons import Reason

if TYPE_CHECKING:
    import openai

BASE_URL = "https://api.openai.com/v1"
BASE_SECONDS = 60.0
SECONDS_A_SECOND = 4.0  # added to the time-out for each second of audio


class OpenAICompatibleAdapter:
    """Transcribes, translates, synthesizes and chats by OpenAI's HTTP API. Works in any event loop of its process."""

    kind: ClassVar[str] = "openai_compatible"
    info: ClassVar[KindInfo] = KindInfo(
        label="OpenAI-compatible",
        help="vLLM, speaches, LocalAI, Groq and every other server that speaks OpenAI's protocol. Most have an address "
        "that ends in /v1.",
        address="required",
        credential="optional",
        credential_help="Where the server wants a key.",
        problem_with_model=problem_with_model,
    )
    limit_name: ClassVar[str] = "max_tokens"  # the parameter for the maximum of output tokens, by its older name

    def __init__(self, config: ProviderConfig, *, own_environment: bool = False) -> None:
        self._key, self._base_url = config.credential.strip(), config.base_url.rstrip("/")
        self._public_only = not own_environment
        # Must not refer to this adapter: connections are closed when the last call drops the adapter.
        self._clients = LoopClients(
            partial(
                make_client,
                api_key=self._key,
                base_url=self._base_url,
                step_seconds=settings.PROVIDER_TIMEOUT_SECONDS,
                own_environment=own_environment,
            ),
            load=sdk,
        )

    # --- transcription ----------------------------------------------------------------------------

    async def transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        return await self._hear(model, request, translate=False)

    async def translate(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        return await self._hear(model, request, translate=True)

    async def _hear(self, model: ModelConfig, request: TranscriptionRequest, *, translate: bool) -> Transcription:
        call = self._call(request.prompt, is_transcription=True)
        fields = request_fields(model, request, translate=translate)
        seconds = hearing_seconds(model, request)
        async with audio_file(model, request.audio) as file:
            with provider_errors(call):
                client = await self._client()
                started = time.monotonic()
                async with asyncio.timeout(seconds):
                    # Not by the SDK's methods, one of which warns of deprecated models at each call.
                    answer = await client.post(
                        "/audio/translations" if translate else "/audio/transcriptions",
                        cast_to=httpx2.Response,
                        body=fields,
                        files=[("file", file)],
                        options={
                            "timeout": _timeout(seconds),
                            "headers": {**self._headers, "Content-Type": "multipart/form-data"},
                        },
                    )
                return read_transcription(answer, time.monotonic() - started, call)

    async def stream_transcription(
        self, model: ModelConfig, request: TranscriptionRequest
    ) -> AsyncGenerator[TranscriptionPart, None]:
        """Transcribe part by part; models that do not stream yield only the final part."""
        call = self._call(request.prompt, is_transcription=True)
        fields = request_fields(model, request, translate=False)
        how = self._how(hearing_seconds(model, request))
        async with audio_file(model, request.audio) as file:
            with provider_errors(call):
                client = await self._client()
                endpoint: Any = client.audio.transcriptions.with_streaming_response
                started = time.monotonic()
                async with endpoint.create(file=file, stream=True, **fields, **how) as answer:
                    if not is_event_stream(answer.http_response):
                        await answer.read()
                        final = read_transcription(answer.http_response, time.monotonic() - started, call)
                        yield TranscriptionPart(final=final)
                        return
                    events = event_stream(client, answer.http_response)
                    async with aclosing(transcript_parts(events, started)) as parts:
                        async for part in parts:
                            yield part

    # --- speech and chat --------------------------------------------------------------------------

    async def speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        wav = replace(request, encoding="wav")
        with provider_errors(self._call()):
            async with asyncio.timeout(call_seconds(model)), aclosing(self.stream_speech(model, wav)) as parts:
                return await whole_speech(parts)

    async def stream_speech(self, model: ModelConfig, request: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
        call = self._call(request.text, request.instructions)
        encoding = encoding_for(model, request.encoding)
        fields = speech.request_fields(model, request, encoding)
        with provider_errors(call):
            client = await self._client()
            endpoint: Any = client.audio.speech.with_streaming_response
            async with endpoint.create(**fields, **self._how(call_seconds(model))) as answer:
                async with aclosing(speech_parts(client, answer.http_response, model, encoding, call)) as parts:
                    async for part in parts:
                        yield part

    async def stream_chat(self, model: ModelConfig, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        call = self._call(*(message.content for message in request.messages))
        fields = chat.request_fields(model, request, self.limit_name)
        with provider_errors(call):
            client = await self._client()
            endpoint: Any = client.chat.completions.with_streaming_response
            async with endpoint.create(**fields, **self._how(call_seconds(model))) as answer:
                if not is_event_stream(answer.http_response):
                    raise error_in_answer(await answer.json(), call)
                async with aclosing(chat_parts(event_stream(client, answer.http_response))) as parts:
                    async for part in parts:
                        yield part

    # --- the rest ---------------------------------------------------------------------------------

    async def list_models(self) -> list[str]:
        try:
            with provider_errors(self._call()):
                client = await self._client()
                async with asyncio.timeout(settings.PROVIDER_TIMEOUT_SECONDS):
                    answer = await client.models.with_raw_response.list(extra_headers=self._headers)
                return [str(entry["id"]) for entry in answer.http_response.json()["data"]]
        except ProviderError as error:
            if error.status != 404:
                raise
            message = f"{error} - it lists no models, or its address is not right: most end in /v1."
            raise ProviderError(error.reason, message, status=404) from error

    def endpoint(self) -> Endpoint:
        self._check_access()
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        return Endpoint(self._base_url, headers, self._public_only)

    def close(self) -> None:
        self._clients.close()

    async def _client(self) -> "openai.AsyncOpenAI":
        self._check_access()
        return await self._clients.get()

    def _check_access(self) -> None:
        if not (self._key.isascii() and self._key.isprintable()):
            raise ProviderError(Reason.INVALID_CREDENTIALS, "The key holds characters that no key has. Enter it again.")

    @property
    def _headers(self) -> dict[str, Any]:
        """Headers for the SDK: without a key its Authorization header is left out."""
        return {} if self._key else {"Authorization": sdk().Omit()}

    def _how(self, seconds: float) -> dict[str, Any]:
        """Return the time-out and headers for the SDK's methods."""
        return {"timeout": _timeout(seconds), "extra_headers": self._headers}

    def _call(self, *texts: str, is_transcription: bool = False) -> Call:
        return Call(private=(self._key, *texts), is_transcription=is_transcription)


class OpenAIAdapter(OpenAICompatibleAdapter):
    """OpenAI itself, with a key."""

    kind: ClassVar[str] = "openai"
    info: ClassVar[KindInfo] = KindInfo(
        label="OpenAI",
        help="Transcribes, translates, speaks and chats, one request a sample.",
        default_address=BASE_URL,
        credential_help="An API key of platform.openai.com.",
        key_setting="OPENAI_API_KEY",
        catalogue=CATALOGUE,
        problem_with_model=problem_with_model,
    )
    limit_name: ClassVar[str] = "max_completion_tokens"

    def __init__(self, config: ProviderConfig) -> None:
        # The environment's key is only ever sent to the environment's address.
        own_environment = not (config.base_url or config.credential)
        if own_environment:
            config = replace(config, base_url=settings.OPENAI_BASE_URL, credential=settings.OPENAI_API_KEY)
        super().__init__(replace(config, base_url=config.base_url or BASE_URL), own_environment=own_environment)

    def _check_access(self) -> None:
        if not self._key:
            raise ProviderError(
                Reason.INVALID_CREDENTIALS, "No API key: enter one for the provider, or set OPENAI_API_KEY."
            )
        super()._check_access()


def hearing_seconds(model: ModelConfig, request: TranscriptionRequest) -> float:
    """Return the time-out of a transcription in seconds: the model's option, else by the length of the audio."""
    by_length = BASE_SECONDS + SECONDS_A_SECOND * request.audio.duration
    return min(call_seconds(model), by_length) if "timeout_seconds" not in model.options else call_seconds(model)


def call_seconds(model: ModelConfig) -> float:
    """Return the longest time-out of a call, in seconds."""
    return float(model.options.get("timeout_seconds", settings.CALL_TIMEOUT_SECONDS))


def _timeout(seconds: float) -> httpx2.Timeout:
    """Return the time-outs of the steps of a call: the first byte may arrive shortly before its end."""
    return httpx2.Timeout(seconds, connect=min(seconds, settings.PROVIDER_TIMEOUT_SECONDS))
