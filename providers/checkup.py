"""Trying a provider out: its first model of each task is really called."""

import asyncio
import hashlib
import io
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from providers.adapters.base import (
    Adapter,
    ProviderError,
    SpeechRequest,
    TranscriptionRequest,
    as_speaker,
    as_transcriber,
)
from providers.models import Provider, SpeechModel
from providers.registry import adapter_for, default_prompt, model_config

SENTENCE = "The quick test of this provider is over in a few seconds."


@dataclass(frozen=True)
class ModelCheck:
    """One call to one model."""

    model: str  # public name
    task: str  # "stt" or "tts"
    ok: bool
    latency: float  # seconds, waiting for a free place included
    text_length: int | None = None  # characters that were heard; None for other tasks
    reason: str = ""  # of `providers.reasons.Reason`
    fault: str = ""  # for a person


@dataclass(frozen=True)
class Checkup:
    """What came of trying; `fault` where there was nothing to try."""

    checks: list[ModelCheck]
    fault: str = ""

    @property
    def ok(self) -> bool:
        return not self.fault and all(check.ok for check in self.checks)


def check_up(provider: Provider) -> Checkup:
    """Have the provider's first model of each task speak a sentence, and hear it; a provider that does not speak hears
    a second of silence. Takes seconds; never raises for what is wrong with the provider."""
    active = provider.models.filter(is_active=True)
    speaker, hearer = active.filter(text_to_speech=True).first(), active.filter(speech_to_text=True).first()
    if not (speaker or hearer):
        return Checkup([], "It has no model that is switched on.")
    try:
        adapter = adapter_for(provider)
    except ProviderError as error:
        return Checkup([], str(error))
    return Checkup(asyncio.run(_try(adapter, speaker, hearer)))


async def _try(adapter: Adapter, speaker: SpeechModel | None, hearer: SpeechModel | None) -> list[ModelCheck]:
    checks, audio = [], silence(seconds=1)
    if speaker:
        check, spoken = await _speak(adapter, speaker)
        checks.append(check)
        audio = spoken or audio
    if hearer:
        checks.append(await _hear(adapter, hearer, audio))
    return checks


async def _speak(adapter: Adapter, model: SpeechModel) -> tuple[ModelCheck, bytes | None]:
    start = time.monotonic()
    try:
        speech = await as_speaker(adapter).speak(model_config(model), SpeechRequest(SENTENCE))
    except ProviderError as error:
        return _failed(model, "tts", start, error), None
    return ModelCheck(model.public_name, "tts", ok=True, latency=time.monotonic() - start), speech.audio


async def _hear(adapter: Adapter, model: SpeechModel, audio: bytes) -> ModelCheck:
    start = time.monotonic()
    request = TranscriptionRequest(WavAudio(audio), language="en", prompt=default_prompt(model.provider.kind))
    try:
        heard = await as_transcriber(adapter).transcribe(model_config(model), request)
    except ProviderError as error:
        return _failed(model, "stt", start, error)
    latency = time.monotonic() - start
    return ModelCheck(model.public_name, "stt", ok=True, latency=latency, text_length=len(heard.text))


def _failed(model: SpeechModel, task: str, start: float, error: ProviderError) -> ModelCheck:
    latency = time.monotonic() - start
    return ModelCheck(model.public_name, task, ok=False, latency=latency, reason=error.reason, fault=str(error))


def silence(seconds: int, rate: int = 16_000) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(bytes(2 * rate * seconds))
    return file.getvalue()


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
            return reader.getnframes() / reader.getframerate()

    def open(self) -> BinaryIO:
        return io.BytesIO(self._content)

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(self._content)
            file.flush()
            yield Path(file.name)
