"""Trying a provider out: its models are listed, and the first one of each task is really called."""

import asyncio
import hashlib
import io
import time
import wave
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.temporary import named_file
from providers.adapters.base import (
    Adapter,
    ChatMessage,
    ChatRequest,
    ModelLister,
    ProviderError,
    SpeechRequest,
    TranscriptionRequest,
    as_chat_model,
    as_synthesizer,
    as_transcriber,
)
from providers.capabilities import TASK_NAMES
from providers.models import Provider, SpeechModel
from providers.reasons import Reason
from providers.registry import adapter_for, default_prompt, model_config
from providers.wav import wav_file

SENTENCE = "The quick test of this provider is over in a few seconds."
QUESTION = ChatRequest((ChatMessage("user", "Answer with the word hello, and nothing else."),), temperature=0)
SECONDS = 30.0  # time-out of each call
LISTING = "models"


@dataclass(frozen=True)
class Check:
    """The outcome of one call."""

    task: str  # "models" (the list), "tts", "stt" or "chat"
    model: str  # public name; empty where models were listed
    ok: bool
    latency: float  # seconds, including the wait for a slot
    found: str = ""  # a summary of the result for people, without the text itself
    text_length: int | None = None  # characters that were heard or answered; None for other tasks
    reason: str = ""  # of `providers.reasons.Reason`
    fault: str = ""  # for a person

    @property
    def what(self) -> str:
        return TASK_NAMES.get(self.task, "list of models")

    @property
    def advice(self) -> str:
        """What to do about the fault, for people."""
        return Reason(self.reason).label if self.reason else ""


@dataclass(frozen=True)
class Checkup:
    """The outcome of a connection test. `fault`: why nothing could be tested; empty if calls were made."""

    checks: list[Check]
    fault: str = ""

    @property
    def ok(self) -> bool:
        return not self.fault and all(check.ok for check in self.checks)


@dataclass(frozen=True)
class _Found:
    """The result of a successful call."""

    words: str
    text_length: int | None = None
    audio: bytes = b""


def check_up(provider: Provider) -> Checkup:
    """Test a provider: list its models if it can, and call its first model of each task: synthesize a sentence,
    transcribe it (or a second of silence) and chat. Takes seconds. Faults of the provider are returned, not raised."""
    active = provider.models.filter(is_active=True)
    models = {task: active.filter(**{field: True}).first() for task, field in SpeechModel.TASK_FIELDS.items()}
    chosen = {task: model for task, model in models.items() if model and task in ("tts", "stt", "chat")}
    try:
        adapter = adapter_for(provider)
    except ProviderError as error:
        return Checkup([], str(error))
    if not chosen and not isinstance(adapter, ModelLister):
        return Checkup([], "It has no model that is switched on.")
    return Checkup(asyncio.run(_try(adapter, chosen)))


async def _try(adapter: Adapter, models: dict[str, SpeechModel]) -> list[Check]:
    checks: list[Check] = []
    if isinstance(adapter, ModelLister):
        check, _ = await _call(LISTING, "", _list(adapter))
        if check.ok:  # again, for the latency: the first call also loads an SDK and connects
            check, _ = await _call(LISTING, "", _list(adapter))
        checks.append(check)
        if check.reason in (Reason.INVALID_CREDENTIALS, Reason.TIMEOUT):  # every other call would fail as well
            return checks
    audio = wav_file(bytes(2 * 16_000), 16_000)  # a second of silence
    calls: dict[str, Callable[[SpeechModel], Coroutine[Any, Any, _Found]]] = {
        "tts": lambda model: _speak(adapter, model),
        "stt": lambda model: _hear(adapter, model, audio),
        "chat": lambda model: _chat(adapter, model),
    }
    for task, call in calls.items():
        if model := models.get(task):
            check, found = await _call(task, model.public_name, call(model))
            checks.append(check)
            audio = found.audio or audio if found else audio
    return checks


async def _call(task: str, model: str, call: Coroutine[Any, Any, _Found]) -> tuple[Check, _Found | None]:
    start = time.monotonic()
    try:
        async with asyncio.timeout(SECONDS):
            found = await call
    except (ProviderError, TimeoutError) as error:
        latency = time.monotonic() - start
        if isinstance(error, TimeoutError):
            error = ProviderError(Reason.TIMEOUT, f"There was no answer within {SECONDS:.0f} s.")
        return Check(task, model, False, latency, reason=error.reason, fault=str(error)), None
    return Check(task, model, True, time.monotonic() - start, found.words, found.text_length), found


async def _list(adapter: ModelLister) -> _Found:
    return _Found(f"{len(await adapter.list_models())} models are offered")


async def _speak(adapter: Adapter, model: SpeechModel) -> _Found:
    speech = await as_synthesizer(adapter).speak(model_config(model), SpeechRequest(SENTENCE))
    return _Found(f"{WavAudio(speech.audio).duration:.1f} s of speech", audio=speech.audio)


async def _hear(adapter: Adapter, model: SpeechModel, audio: bytes) -> _Found:
    request = TranscriptionRequest(WavAudio(audio), language="en", prompt=default_prompt(model.provider.kind))
    transcription = await as_transcriber(adapter).transcribe(model_config(model), request)
    return _Found(f"{len(transcription.text)} characters heard", len(transcription.text))


async def _chat(adapter: Adapter, model: SpeechModel) -> _Found:
    async with aclosing(as_chat_model(adapter).stream_chat(model_config(model), QUESTION)) as parts:
        length = sum([len(part.text) async for part in parts])
    return _Found(f"{length} characters answered", length)


class WavAudio:
    """A WAV file in memory, as a source of audio."""

    mime_type = "audio/wav"

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def duration(self) -> float:
        with wave.open(io.BytesIO(self._content)) as reader:
            return float(reader.getnframes() / reader.getframerate())

    def open(self) -> BinaryIO:
        return io.BytesIO(self._content)

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        with named_file(".wav") as file:
            file.write(self._content)
            file.flush()
            yield Path(file.name)
