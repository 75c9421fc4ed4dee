"""The options of a model that the adapter knows; others are nobody's business here."""

from collections.abc import Callable
from typing import Any, get_args

from providers.adapters.base import AudioEncoding
from providers.adapters.openai.audio import CONTAINERS

RESPONSE_FORMATS = ("json", "text", "verbose_json")
ENCODINGS = get_args(AudioEncoding)


def _one_of(values: tuple[str, ...]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in values


def _some_of(values: tuple[str, ...]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(one, str) and one in values for one in value)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


# option -> whether a value is right, and what is
KNOWN: dict[str, tuple[Callable[[object], bool], str]] = {
    "audio_formats": (_some_of(tuple(CONTAINERS)), f"a list of {', '.join(CONTAINERS)}"),
    "response_format": (_one_of(RESPONSE_FORMATS), f"one of {', '.join(RESPONSE_FORMATS)}"),
    "speech_formats": (_some_of(ENCODINGS), f"a list of {', '.join(ENCODINGS)}"),
    "stream_format": (_one_of(("sse", "audio")), "sse or audio"),
    "voice": (lambda value: isinstance(value, str), "a voice's name"),
    "sample_rate": (_positive, "a number of Hz"),
    "timeout_seconds": (_positive, "a number of seconds"),
}


def problem_with_model(upstream_name: str, options: dict[str, Any]) -> str:
    """What is wrong with the options, for a person; empty where nothing is."""
    wrong = [
        f"{name} must be {what}."
        for name, (right, what) in KNOWN.items()
        if name in options and not right(options[name])
    ]
    return " ".join(wrong)
