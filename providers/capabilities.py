"""What a model can be asked for, said before anything is sent to it."""

from providers.models import SpeechModel
from providers.registry import KINDS


def problem_with(model: SpeechModel, *, task: str, mode: str = "auto") -> str:
    """Why `model` cannot do `task` ("stt" or "tts") in `mode` ("auto", "batch" or "direct"); empty where it can."""
    if not (model.is_active and model.provider.is_active):
        return "It is switched off."
    if model.provider.kind not in KINDS:
        return f"Its provider's kind, {model.provider.kind!r}, is not one of this version."
    if task not in model.tasks:
        return f"It does not do {_task_name(task)}."
    if not model.modes:
        return "It takes neither single requests nor batches."
    if mode != "auto" and mode not in model.modes:
        return f"It does not work in {mode} mode; use {' or '.join(model.modes)}."
    return ""


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


def _task_name(task: str) -> str:
    return {"stt": "speech to text", "tts": "text to speech", "translation": "translation to English"}.get(task, task)
