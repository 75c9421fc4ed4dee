"""The embedded engines: speech to text by PocketSphinx, text to speech by eSpeak NG. No key, no network."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from typing import Any, ClassVar

from providers.adapters.base import (
    AudioSource,
    CapabilityNotSupported,
    ModelConfig,
    ProviderConfig,
    ProviderError,
    Speech,
    SpeechRequest,
    Transcription,
    TranscriptionRequest,
)
from providers.adapters.kinds import CatalogueModel, KindInfo
from providers.engines.pool import shared_pool
from providers.engines.process import EngineSpec
from providers.reasons import Reason

POCKETSPHINX = "pocketsphinx"
ESPEAK = "espeak-ng"

# Options of the decoder that trade speed for accuracy. The others name files.
SEARCH_OPTIONS = frozenset({"bestpath", "ds", "fwdflat", "fwdtree", "maxhmmpf", "maxwpf", "pl_window", "topn"})
BEAM_OPTIONS = frozenset({"beam", "fwdflatbeam", "lpbeam", "lponlybeam", "pbeam", "wbeam"})
LANGUAGE_OPTIONS = frozenset({"lw", "pip", "wip"})
DECODER_OPTIONS = SEARCH_OPTIONS | BEAM_OPTIONS | LANGUAGE_OPTIONS
# Names of eSpeak's voices; a path would be opened as a file.
VOICE = re.compile(r"[A-Za-z0-9_-]{1,40}(\+[A-Za-z0-9_-]{1,40})?")
DEFAULT_VOICE = "en-us"
MAX_TEXT = 20_000  # characters

MAX_SECONDS = 600.0  # of audio, where the model names no limit
LONGEST_WAIT = 300.0


FREE = {date(2026, 1, 1): {"audio_minute": "0"}}
HEARS_ENGLISH = {
    "upstream_name": POCKETSPHINX,
    "speech_to_text": True,
    "languages": ["en"],
    "max_audio_seconds": MAX_SECONDS,
}
CATALOGUE = (
    CatalogueModel("pocketsphinx", HEARS_ENGLISH, FREE),
    CatalogueModel("pocketsphinx-fast", {**HEARS_ENGLISH, "options": {"ds": 2, "maxhmmpf": 3000, "maxwpf": 5}}, FREE),
    CatalogueModel(
        "espeak-ng", {"upstream_name": ESPEAK, "text_to_speech": True, "options": {"voice": DEFAULT_VOICE}}, FREE
    ),
)


def problem_with_model(upstream_name: str, options: dict[str, Any]) -> str:
    """What is wrong with a model's settings; empty where nothing is."""
    if upstream_name == ESPEAK:
        unknown = sorted(set(options) - {"voice"})
        return f"Unknown options: {', '.join(unknown)}. Known: voice." if unknown else ""
    if upstream_name != POCKETSPHINX:
        return f"There is no embedded engine {upstream_name!r}. There are {POCKETSPHINX} and {ESPEAK}."
    unknown = sorted(set(options) - DECODER_OPTIONS)
    if unknown:
        return f"Unknown options: {', '.join(unknown)}. Known: {', '.join(sorted(DECODER_OPTIONS))}."
    wrong = sorted(name for name, value in options.items() if not isinstance(value, int | float))
    return f"Not a number: {', '.join(wrong)}." if wrong else ""


class LocalAdapter:
    kind: ClassVar[str] = "local"
    info: ClassVar[KindInfo] = KindInfo(
        label="Embedded engines",
        help="PocketSphinx hears English, eSpeak NG speaks. They run on this machine: no key, no network.",
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
        return Transcription(answer["text"], answer["processing_seconds"])

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
