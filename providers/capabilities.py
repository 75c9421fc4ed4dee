"""What a model can be asked for, said before anything is sent to it."""

from collections.abc import Iterable

from providers.adapters.base import (
    BatchTranscriber,
    ChatModel,
    ModelLister,
    SpeechSynthesizer,
    StreamingSynthesizer,
    StreamingTranscriber,
    Transcriber,
    Translator,
)
from providers.models import SpeechModel
from providers.registry import KINDS

TASK_NAMES = {
    "stt": "speech to text",
    "tts": "text to speech",
    "chat": "chat",
    "translation": "translation to English",
}
# What an adapter must be for a task, and to answer it while it is still being made.
ADAPTERS: dict[str, type] = {"stt": Transcriber, "tts": SpeechSynthesizer, "chat": ChatModel, "translation": Translator}
STREAMING_ADAPTERS: dict[str, type] = {"stt": StreamingTranscriber, "tts": StreamingSynthesizer, "chat": ChatModel}


def tasks_of_kind(kind: str) -> list[str]:
    """What providers of that kind can be asked for."""
    return [task for task, ability in ADAPTERS.items() if kind in KINDS and issubclass(KINDS[kind], ability)]


def lists_models(kind: str) -> bool:
    """Whether providers of that kind say which models they offer."""
    return kind in KINDS and issubclass(KINDS[kind], ModelLister)


def streamed_tasks(model: SpeechModel) -> list[str]:
    """The model's tasks that are answered while the answer is still being made."""
    adapter = KINDS.get(model.provider.kind)
    return [
        task
        for task in model.tasks
        if adapter and task in STREAMING_ADAPTERS and issubclass(adapter, STREAMING_ADAPTERS[task])
    ]


def unkept_claim(kind: str, tasks: Iterable[str], *, batch: bool) -> str:
    """What of this no provider of that kind can do, for a person; empty where nothing is."""
    lacking = [TASK_NAMES[task] for task in tasks if task not in tasks_of_kind(kind)]
    if batch and not issubclass(KINDS[kind], BatchTranscriber):
        lacking.append("batches")
    return f"Providers of the kind {KINDS[kind].info.label} do not do {' or '.join(lacking)}." if lacking else ""


def problem_with(model: SpeechModel, *, task: str, mode: str = "auto") -> str:
    """Why `model` cannot do `task` ("stt", "tts"...) in `mode` ("auto", "batch" or "direct"); empty where it can."""
    if not (model.is_active and model.provider.is_active):
        return "It is switched off."
    if model.provider.kind not in KINDS:
        return f"Its provider's kind, {model.provider.kind!r}, is not one of this version."
    if task not in model.tasks:
        return f"It does not do {TASK_NAMES.get(task, task)}."
    if not model.modes:
        return "It takes neither single requests nor batches."
    if mode != "auto" and mode not in model.modes:
        return f"It does not work in {mode} mode; use {' or '.join(model.modes)}."
    return unkept_claim(model.provider.kind, [task], batch=goes_in_batches(model, mode))


def goes_in_batches(model: SpeechModel, mode: str) -> bool:
    """Whether a run in `mode` sends its samples to `model` in batches."""
    return mode != "direct" and model.supports_batch


def language_warning(model: SpeechModel, language: str) -> str:
    """What to expect of `model` on speech in `language` (BCP-47) that it is not made for; empty where it is."""
    if not model.languages or not language:
        return ""
    base = language.split("-")[0].lower()
    if any(base == known.split("-")[0].lower() for known in model.languages):
        return ""
    return f"It is made for {', '.join(model.languages)}: expect many errors in {language}."
