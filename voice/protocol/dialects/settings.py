"""Parses the session settings that both dialects write alike."""

from typing import Any, Literal

from voice.protocol import client_events
from voice.protocol.client_events import SessionPatch
from voice.protocol.dialects.fields import MOST_MS, NAMES, Fields

MOST_NESTED = 64


def max_tokens(fields: Fields, name: str) -> int | Literal["inf"] | None:
    """Read a limit of output tokens; None: the client names none."""
    return "inf" if fields.raw.get(name) == "inf" else fields.integer(name, 1, 1_000_000)


def max_tokens_patch(session: Fields, name: str, patch: SessionPatch) -> None:
    if (most := max_tokens(session, name)) is not None:
        patch["max_output_tokens"] = None if most == "inf" else most


def transcription_patch(session: Fields, name: str, patch: SessionPatch) -> None:
    """Read the settings of transcription into `patch`; null switches transcripts off."""
    if name in session:
        settings = session.object(name)
        patch["transcription"] = None if settings is None else _transcription(settings)


def _transcription(settings: Fields) -> client_events.TranscriptionPatch:
    settings.only(("model", "language", "prompt", "languages", "keywords", "delay"))
    patch: client_events.TranscriptionPatch = {}
    if (model := settings.string("model")) is not None:
        patch["model"] = model
    if (language := settings.string("language", most=100)) is not None:
        patch["language"] = language
    if (prompt := settings.string("prompt", most=10_000)) is not None:
        patch["prompt"] = prompt
    return patch


# There is no semantic detection: a session that asks for it gets server_vad, as `session.updated` shows.
EAGERNESS_MS = {"low": 800, "medium": 500, "high": 300, "auto": 500}


def turn_detection_patch(session: Fields, patch: SessionPatch) -> None:
    """Read the settings of turn detection into `patch`; null switches it off."""
    if "turn_detection" in session:
        settings = session.object("turn_detection")
        patch["turn_detection"] = None if settings is None else _turn_detection(settings)


def _turn_detection(settings: Fields) -> client_events.TurnDetectionPatch:
    settings.only(
        (
            "type",
            "threshold",
            "prefix_padding_ms",
            "silence_duration_ms",
            "create_response",
            "interrupt_response",
            "idle_timeout_ms",
            "eagerness",
        )
    )
    patch: client_events.TurnDetectionPatch = {}
    settings.choice("type", {"server_vad": True, "semantic_vad": True})
    if (eagerness := settings.choice("eagerness", EAGERNESS_MS)) is not None:
        patch["silence_duration_ms"] = eagerness
    if (threshold := settings.number("threshold", 0, 1)) is not None:
        patch["threshold"] = threshold
    if (padding := settings.integer("prefix_padding_ms", 0, 10_000)) is not None:
        patch["prefix_padding_ms"] = padding
    if (silence := settings.integer("silence_duration_ms", 0, 60_000)) is not None:
        patch["silence_duration_ms"] = silence
    if (create := settings.boolean("create_response")) is not None:
        patch["create_response"] = create
    if (interrupt := settings.boolean("interrupt_response")) is not None:
        patch["interrupt_response"] = interrupt
    if "idle_timeout_ms" in settings:
        patch["idle_timeout_ms"] = settings.integer("idle_timeout_ms", 0, MOST_MS)
    return patch


OWN_NAMES = ("stt_model", "llm_model", "tts_model", "voice")  # this platform's own field names


def common_patch(session: Fields, unused: tuple[str, ...]) -> SessionPatch:
    """Read the settings that both dialects write in the same place. `unused`: fields without effect."""
    patch: SessionPatch = {}
    if (model := session.string("model")) is not None:
        patch["model"] = model
    if (stt_model := session.string("stt_model")) is not None:
        patch["stt_model"] = stt_model
    if (llm_model := session.string("llm_model")) is not None:
        patch["llm_model"] = llm_model
    if (tts_model := session.string("tts_model")) is not None:
        patch["tts_model"] = tts_model
    if (voice := session.string("voice", most=256)) is not None:
        patch["voice"] = voice
    if (instructions := session.string("instructions")) is not None:
        patch["instructions"] = instructions
    if (temperature := session.number("temperature", 0, 2)) is not None:
        patch["temperature"] = temperature
    unused_patch(session, unused, patch)
    return patch


# Fields that are accepted and shown, without effect, and their types.
UNUSED: dict[str, tuple[type, ...]] = {
    "include": (list,),
    "input_audio_noise_reduction": (dict,),
    "noise_reduction": (dict,),
    "parallel_tool_calls": (bool,),
    "prompt": (dict,),
    "reasoning": (dict,),
    "tool_choice": (str, dict),
    "tools": (list,),
    "tracing": (str, dict),
    "truncation": (str, dict),
}


def unused_patch(settings: Fields, names: tuple[str, ...], patch: SessionPatch) -> None:
    """Read fields without effect into `patch`; null clears one."""
    unused = {name: settings.raw[name] for name in names if name in settings}
    for name, value in unused.items():
        if value is not None and not isinstance(value, UNUSED[name]):
            raise settings.wrong_type(name, " or ".join(NAMES[kind] for kind in UNUSED[name]))
        if _is_deep(value, MOST_NESTED):
            raise settings.invalid(name, f"expected at most {MOST_NESTED} levels of nesting")
    settings.objects("tools")
    if unused:
        patch["unused"] = {**patch.get("unused", {}), **unused}


def _is_deep(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (levels == 0 or any(_is_deep(each, levels - 1) for each in value))
