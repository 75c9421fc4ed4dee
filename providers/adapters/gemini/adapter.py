"""The adapter of the provider kind `gemini`."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from django.conf import settings

from providers.adapters.background import relay
from providers.adapters.base import (
    BatchLine,
    ChatPart,
    ChatRequest,
    Instructions,
    ModelConfig,
    ProviderConfig,
    ProviderError,
    RemoteAudio,
    RemoteBatch,
    RemoteFile,
    Speech,
    SpeechPart,
    SpeechRequest,
    Transcription,
    TranscriptionRequest,
)
from providers.adapters.gemini.answers import (
    DEFAULT_PROMPT,
    file_part,
    read_answer,
    read_line,
    request_body,
    text_of,
)
from providers.adapters.gemini.catalogue import CATALOGUE
from providers.adapters.gemini.chat import chat_config, chat_contents
from providers.adapters.gemini.client import BASE_URL, GeminiClient, is_gone, provider_errors
from providers.adapters.gemini.sdk import genai
from providers.adapters.gemini.speech import SpeechReader, problem_with_model, speech_config, spoken_text
from providers.adapters.gemini.states import remote_batch
from providers.adapters.gemini.stream_usage import StreamUsage, check_spoken
from providers.adapters.kinds import KindInfo
from providers.reasons import Reason
from providers.wav import wav_file

if TYPE_CHECKING:
    from google.genai import types

TAKEN = {"audio/wav", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac"}
INLINE_BYTES = 14 * 1024 * 1024  # the request may have 20 MB, with the audio in base64
LIST_PAGE = 100


class GeminiAdapter:
    """Uploads, batches and direct calls. The client is made with the first call, in the process that makes it."""

    kind: ClassVar[str] = "gemini"
    info: ClassVar[KindInfo] = KindInfo(
        label="Google Gemini",
        help="Transcribes, one request a sample or in batches for half the price; speaks and chats.",
        default_address=BASE_URL,
        credential_help="An API key of Google AI Studio.",
        key_setting="GEMINI_API_KEY",
        default_prompt=DEFAULT_PROMPT,
        catalogue=CATALOGUE,
        problem_with_model=problem_with_model,
    )

    def __init__(self, config: ProviderConfig) -> None:
        genai()  # now, and not in an event loop that makes the first call
        # The environment's key is only ever sent to the environment's address.
        self._public_only = bool(config.base_url)
        if config.base_url or config.credential:
            self._key, self._base_url = config.credential, config.base_url
        else:
            self._key, self._base_url = settings.GEMINI_API_KEY, settings.GEMINI_BASE_URL

    @cached_property
    def _connections(self) -> int:
        return int(settings.UPLOAD_CONCURRENCY) + 16

    @cached_property
    def _client(self) -> GeminiClient:
        return GeminiClient(
            api_key=self._key,
            base_url=self._base_url,
            connections=self._connections,
            timeout=settings.PROVIDER_TIMEOUT_SECONDS,
            public_only=self._public_only,
        )

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._connections, thread_name_prefix="gemini")

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()
        if "_threads" in self.__dict__:
            self._threads.shutdown(wait=False, cancel_futures=True)

    # --- one sample, directly ---------------------------------------------------------------------

    async def transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        """Transcribe by `generateContent`, with the audio inline or, if it was uploaded, by its URI."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._transcribe, model, request)

    def _transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        instructions = Instructions(request.language, request.prompt)
        part = file_part(request.remote) if request.remote else self._inline_part(request)
        body = request_body([part], instructions)
        started = time.monotonic()
        with provider_errors():
            answer = self._client.sdk.models.generate_content(
                model=model.upstream_name,
                contents=body["contents"],
                config=genai().types.GenerateContentConfig(
                    # Long audio takes minutes before the first byte of the response.
                    http_options=genai().types.HttpOptions(timeout=int(settings.CALL_TIMEOUT_SECONDS * 1000)),
                    temperature=request.temperature or 0,
                    automatic_function_calling=genai().types.AutomaticFunctionCallingConfig(disable=True),
                    automatic_continuation=False,
                ),
            )
            raw = _raw(answer)
        return read_answer(raw, time.monotonic() - started)

    def _inline_part(self, request: TranscriptionRequest) -> dict[str, Any]:
        with request.audio.open() as stream:
            data = base64.b64encode(stream.read()).decode()
        return {"inlineData": {"data": data, "mimeType": request.audio.mime_type}}

    # --- speech and chat --------------------------------------------------------------------------

    async def speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        """Synthesize in one response, as some voices do not stream."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._speak, model, request)

    def _speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        config = speech_config(model, request)
        config.http_options = genai().types.HttpOptions(timeout=int(settings.CALL_TIMEOUT_SECONDS * 1000))
        with provider_errors():
            answer = _raw(
                self._client.sdk.models.generate_content(
                    model=model.upstream_name, contents=spoken_text(request), config=config
                )
            )
        usage, reader = StreamUsage(), SpeechReader()
        usage.count(answer)
        with provider_errors():
            pcm = reader.feed(answer)
        check_spoken(usage, reader)
        return Speech(wav_file(pcm, reader.sample_rate), reader.sample_rate, usage.input_tokens, usage.output_tokens)

    async def stream_speech(self, model: ModelConfig, request: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
        """Synthesize part by part, as PCM whatever encoding is requested."""
        usage, reader = StreamUsage(), SpeechReader()
        contents = [{"role": "user", "parts": [{"text": spoken_text(request)}]}]
        stream = self._client.pieces(model.upstream_name, contents, speech_config(model, request))
        async with aclosing(relay(stream)) as pieces:
            async for piece in pieces:
                usage.count(piece)
                with provider_errors():
                    pcm = reader.feed(piece)
                if pcm:
                    yield SpeechPart(pcm, "pcm", reader.sample_rate)
        check_spoken(usage, reader)
        yield SpeechPart(b"", "pcm", reader.sample_rate, usage.input_tokens, usage.output_tokens)

    async def stream_chat(self, model: ModelConfig, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        usage, written = StreamUsage(), False
        stream = self._client.pieces(model.upstream_name, chat_contents(request), chat_config(request))
        async with aclosing(relay(stream)) as pieces:
            async for piece in pieces:
                usage.count(piece)
                if text := text_of(piece):
                    written = True
                    yield ChatPart(text)
        usage.check_whole()
        if not written and not usage.truncated:
            raise ProviderError(Reason.EMPTY_OUTPUT, "The model answered with no text.")
        yield ChatPart("", usage.input_tokens, usage.output_tokens, usage.truncated)

    async def list_models(self) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._list_models)

    def _list_models(self) -> list[str]:
        with provider_errors():
            models = self._client.sdk.models.list(config={"page_size": LIST_PAGE})
            return [model.name.removeprefix("models/") for model in models if model.name]

    # --- files ------------------------------------------------------------------------------------

    def wants_upload(self, mime_type: str, size: int) -> bool:
        return size > INLINE_BYTES or not self.takes(mime_type)

    def takes(self, mime_type: str) -> bool:
        return mime_type in TAKEN

    def upload_file(self, name: str, stream: BinaryIO, size: int, mime_type: str) -> RemoteFile:
        try:
            with provider_errors():
                return _remote_file(self._client.upload(name, stream, size, mime_type))
        except ProviderError as error:
            if error.status != 409 and not (error.status == 400 and "already exists" in str(error)):
                raise
        # An earlier attempt succeeded although its response was lost.
        found = self.get_file(name)
        if found is None or found.state == "failed":
            raise ProviderError(Reason.NAME_TAKEN, "The file's name at the provider cannot be used any more.")
        return found

    def get_file(self, name: str) -> RemoteFile | None:
        try:
            with provider_errors():
                return _remote_file(self._client.get_json(f"files/{name}"))
        except ProviderError as error:
            if is_gone(error):
                return None
            raise

    def delete_file(self, name: str) -> None:
        try:
            with provider_errors():
                self._client.delete(f"files/{name}")
        except ProviderError as error:
            if not is_gone(error):
                raise

    def download_file(self, name: str) -> Iterator[bytes]:
        with provider_errors():
            with self._client.stream(name) as pieces:
                yield from pieces

    # --- batches ----------------------------------------------------------------------------------

    def batch_line(self, key: str, audio: RemoteAudio, instructions: Instructions) -> bytes:
        line = {"key": key, "request": request_body([file_part(audio)], instructions)}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def create_batch(self, model: ModelConfig, input_file: str, display_name: str) -> RemoteBatch:
        with provider_errors():
            job = self._client.sdk.batches.create(
                model=model.upstream_name, src=f"files/{input_file}", config={"display_name": display_name}
            )
            if not job.name:
                raise ValueError("an empty answer")
        return RemoteBatch(name=job.name, state="running", remote_state="PENDING")

    def find_batches(self, display_name: str) -> list[RemoteBatch]:
        """Read page by page without the SDK, to which an empty answer is an empty list."""
        found: list[RemoteBatch] = []
        token = ""
        before: set[str] = set()
        while True:
            with provider_errors():
                if token in before:
                    raise ValueError("a page that was there before")
                before.add(token)
                page = self._client.get_json("batches", pageSize=LIST_PAGE, pageToken=token)
                if page and not page.keys() & {"operations", "nextPageToken"}:
                    raise ValueError("not a list of batches")
                for operation in page.get("operations", []):
                    if (operation.get("metadata") or {}).get("displayName") == display_name:
                        found.append(remote_batch(operation))
            token = page.get("nextPageToken", "")
            if not token:
                return found[::-1]

    def get_batch(self, name: str) -> RemoteBatch | None:
        try:
            with provider_errors():
                return remote_batch(self._client.get_json(name))
        except ProviderError as error:
            if is_gone(error):
                return None
            raise

    def cancel_batch(self, name: str) -> None:
        try:
            with provider_errors():
                self._client.sdk.batches.cancel(name=name)
        except ProviderError as error:
            if not is_gone(error) and error.reason != Reason.REQUEST_REFUSED:  # refused: it has ended
                raise

    def read_line(self, line: bytes) -> BatchLine:
        return read_line(line)


def _raw(answer: "types.GenerateContentResponse") -> dict[str, Any]:
    """The answer in the API's own JSON. Raises ValueError where it holds nothing."""
    raw = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    if not raw.keys() - {"sdkHttpResponse"}:
        raise ValueError("an empty answer")
    return raw


def _remote_file(file: dict[str, Any]) -> RemoteFile:
    if not file["name"] or not file["uri"]:
        raise ValueError("an empty answer")
    state, expires = file.get("state"), file.get("expirationTime")
    return RemoteFile(
        name=file["name"].removeprefix("files/"),
        uri=file["uri"],
        state="processing" if state == "PROCESSING" else "failed" if state == "FAILED" else "active",
        expires_at=datetime.fromisoformat(expires) if expires else None,
        error=(file.get("error") or {}).get("message", ""),
    )
