"""The adapter of the embedded engines: PocketSphinx (speech to text), eSpeak NG (text to speech) and an echo (chat)."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import date
from typing import Any, ClassVar

from providers.adapters.base import (
    AudioSource,
    CapabilityNotSupported,
    ChatPart,
    ChatRequest,
    ModelConfig,
    ProviderConfig,
    ProviderError,
    Speech,
    SpeechPart,
    SpeechRequest,
    TimedText,
    Transcription,
    TranscriptionRequest,
)
from providers.adapters.kinds import CatalogueModel, KindInfo, a_million_tokens
from providers.adapters.sentences import sentences
from providers.engines.pool import shared_pool
from providers.engines.process import EngineSpec
from providers.reasons import Reason
from providers.wav import pcm_of

POCKETSPHINX = "pocketsphinx"
ESPEAK = "espeak-ng"
ECHO = "echo"

# The allowed options of the decoder, which trade speed for accuracy. The others name files.
SEARCH_OPTIONS = frozenset({"bestpath", "ds", "fwdflat", "fwdtree", "maxhmmpf", "maxwpf", "pl_window", "topn"})
BEAM_OPTIONS = frozenset({"beam", "fwdflatbeam", "lpbeam", "lponlybeam", "pbeam", "wbeam"})
LANGUAGE_OPTIONS = frozenset({"lw", "pip", "wip"})
DECODER_OPTIONS = SEARCH_OPTIONS | BEAM_OPTIONS | LANGUAGE_OPTIONS
# Names of voices only: eSpeak would open a path as a file.
VOICE = re.compile(r"[A-Za-z0-9_-]{1,40}(\+[A-Za-z0-9_-]{1,40})?")
DEFAULT_VOICE = "en-us"
MAX_TEXT = 20_000  # characters

MAX_SECONDS = 600.0  # of audio, where the model names no limit
LONGEST_WAIT = 300.0

IN_2026 = date(2026, 1, 1)
HEARS_ENGLISH = {
    "upstream_name": POCKETSPHINX,
    "speech_to_text": True,
    "word_times": True,
    "languages": ["en"],
    "max_audio_seconds": MAX_SECONDS,
}
SPEAKS = {"upstream_name": ESPEAK, "text_to_speech": True, "options": {"voice": DEFAULT_VOICE}}
FREE_MINUTES, FREE_TEXT, FREE_TOKENS = {"audio_minute": "0"}, {"characters": "0"}, a_million_tokens("0", "0")
FASTER = {"ds": 2, "maxhmmpf": 3000, "maxwpf": 5}
CATALOGUE = (
    CatalogueModel("pocketsphinx", HEARS_ENGLISH, {IN_2026: FREE_MINUTES}),
    CatalogueModel("pocketsphinx-fast", {**HEARS_ENGLISH, "options": FASTER}, {IN_2026: FREE_MINUTES}),
    CatalogueModel("espeak-ng", SPEAKS, {IN_2026: {**FREE_MINUTES, **FREE_TEXT}}),
    CatalogueModel("echo", {"upstream_name": ECHO, "chat": True}, {IN_2026: FREE_TOKENS}),
)


def problem_with_model(upstream_name: str, options: dict[str, Any]) -> str:
    """Say what is wrong with a model's settings; empty if nothing is."""
    if upstream_name == ESPEAK:
        unknown = sorted(set(options) - {"voice"})
        return f"Unknown options: {', '.join(unknown)}. Known: voice." if unknown else ""
    if upstream_name == ECHO:
        return "The echo takes no options." if options else ""
    if upstream_name != POCKETSPHINX:
        return f"There is no embedded engine {upstream_name!r}. There are {POCKETSPHINX}, {ESPEAK} and {ECHO}."
    unknown = sorted(set(options) - DECODER_OPTIONS)
    if unknown:
        return f"Unknown options: {', '.join(unknown)}. Known: {', '.join(sorted(DECODER_OPTIONS))}."
    wrong = sorted(name for name, value in options.items() if not isinstance(value, int | float))
    return f"Not a number: {', '.join(wrong)}." if wrong else ""


class LocalAdapter:
    kind: ClassVar[str] = "local"
    info: ClassVar[KindInfo] = KindInfo(
        label="Embedded engines",
        help="PocketSphinx hears English, eSpeak NG speaks, an echo answers: on this machine, without key or network.",
        address="none",
        credential="none",
        catalogue=CATALOGUE,
        problem_with_model=problem_with_model,
    )

    def __init__(self, config: ProviderConfig) -> None:
        """There is nothing to configure: the engines belong to the process, not to a provider."""

    async def transcribe(self, model: ModelConfig, request: TranscriptionRequest) -> Transcription:
        _refuse_wrong_engine(model, POCKETSPHINX)
        duration, longest = request.audio.duration, model.max_audio_seconds or MAX_SECONDS
        if duration > longest:
            message = f"The audio is {duration:.0f} s long, and the model takes {longest:.0f} s."
            raise ProviderError(Reason.AUDIO_TOO_LONG, message)
        # The header's duration and the decoded one may differ a little.
        answer, _ = await shared_pool().ask(
            EngineSpec.of("providers.engines.sphinx", model.options),
            _stored(request.audio, longest + 1),
            time_limit=min(60 + 4 * duration, LONGEST_WAIT),
        )
        words = tuple(TimedText(*word) for word in answer["words"])
        return Transcription(answer["text"], answer["processing_seconds"], words=words)

    async def speak(self, model: ModelConfig, request: SpeechRequest) -> Speech:
        _refuse_wrong_engine(model, ESPEAK)
        voice = request.voice or model.options.get("voice", DEFAULT_VOICE)
        if not VOICE.fullmatch(voice):
            raise CapabilityNotSupported(f"{voice!r} is not a voice's name; names are like en-us or en-us+f5.")
        if len(request.text) > MAX_TEXT:
            raise CapabilityNotSupported(f"The text has {len(request.text)} characters; at most {MAX_TEXT} are spoken.")
        answer, audio = await shared_pool().ask(
            EngineSpec.of("providers.engines.espeak", {}, reusable=False),
            nullcontext({"text": request.text, "voice": voice, "speed": request.speed}),
            time_limit=60,
        )
        return Speech(audio, answer["sample_rate"])

    async def stream_speech(self, model: ModelConfig, request: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
        """Synthesize sentence by sentence, as PCM; the next one is made while the last is played."""
        texts = sentences(request.text) or [request.text]
        made = asyncio.create_task(self.speak(model, replace(request, text=texts[0])))
        try:
            for following in [*texts[1:], None]:
                pcm, rate = pcm_of((await made).audio)
                if following is not None:
                    made = asyncio.create_task(self.speak(model, replace(request, text=following)))
                yield SpeechPart(pcm, "pcm", rate)
        finally:
            made.cancel()
            await asyncio.gather(made, return_exceptions=True)

    async def stream_chat(self, model: ModelConfig, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
        """Repeat the last message of the user word by word; each word counts as a token."""
        _refuse_wrong_engine(model, ECHO)
        said = [message.content for message in request.messages if message.role == "user"]
        words = re.findall(r"\s*\S+", said[-1]) if said else []
        for word in words[: request.max_output_tokens]:
            yield ChatPart(word)
            await asyncio.sleep(0)  # lets other tasks run
        read = sum(len(message.content.split()) for message in request.messages)
        written = len(words[: request.max_output_tokens])
        yield ChatPart("", input_tokens=read, output_tokens=written, truncated=written < len(words))

    def close(self) -> None:
        shared_pool().close()


@contextmanager
def _stored(audio: AudioSource, max_seconds: float) -> Iterator[dict[str, Any]]:
    with audio.local_path() as path:
        yield {"path": str(path), "max_seconds": max_seconds}


def _refuse_wrong_engine(model: ModelConfig, engine: str) -> None:
    if problem := problem_with_model(model.upstream_name, model.options):
        raise CapabilityNotSupported(problem)
    if model.upstream_name != engine:
        raise CapabilityNotSupported(f"{model.upstream_name} cannot do this task; {engine} can.")
