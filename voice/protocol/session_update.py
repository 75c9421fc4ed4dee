"""Applies a client's changes to a session's settings."""

from dataclasses import replace
from typing import Any

from voice.protocol.client_events import SessionPatch, TranscriptionPatch, TurnDetectionPatch
from voice.protocol.config import Models, ProtocolError, SessionConfig, Transcription, TurnDetection

COPIED_FIELDS = (
    "instructions",
    "modality",
    "input_format",
    "output_format",
    "speed",
    "max_output_tokens",
    "temperature",
)


def updated(config: SessionConfig, patch: SessionPatch, *, models: Models, defaults: SessionConfig) -> SessionConfig:
    """Return the settings with the client's changes. Raises ProtocolError.

    A model in one of this platform's own fields (`stt_model`, `llm_model`, `tts_model`) must exist. Names that OpenAI's
    clients send by default (`model`, the transcription's model, the voice) fall back to the session's if unknown.
    """
    _check_known(patch, models)
    changes: dict[str, Any] = {name: value for name, value in patch.items() if name in COPIED_FIELDS}
    if patch.get("model") in models.llm:
        changes["model"] = changes["llm_model"] = patch["model"]
    if "llm_model" in patch:
        changes["model"] = changes["llm_model"] = patch["llm_model"]
    if "transcription" in patch:
        changes["transcription"] = _transcription(config.transcription, patch["transcription"])
        wanted = (patch["transcription"] or {}).get("model")
        if wanted is not None:
            changes["stt_model"] = wanted if wanted in models.stt else defaults.stt_model
    if "stt_model" in patch:
        changes["stt_model"] = patch["stt_model"]
    if "turn_detection" in patch:
        changes["turn_detection"] = _turn_detection(config.turn_detection, patch["turn_detection"])
    if "tts_model" in patch:
        changes["tts_model"] = patch["tts_model"]
    if "tts_model" in patch or "voice" in patch:
        tts_model = changes.get("tts_model", config.tts_model)
        fallback = defaults.voice if tts_model == defaults.tts_model else ""
        changes["voice"] = known_voice(patch.get("voice", config.voice), tts_model, models, fallback)
    if "unused" in patch:
        changes["unused"] = {**config.unused, **patch["unused"]}
    return replace(config, **changes)


def known_voice(voice: str, tts_model: str, models: Models, fallback: str) -> str:
    """Return the voice, or the fallback if the model has no such voice."""
    voices = models.voices.get(tts_model)
    return voice if voices is None or voice in voices else fallback


def _check_known(patch: SessionPatch, models: Models) -> None:
    """Raises ProtocolError for an unknown model."""
    for field, name, known in (
        ("stt_model", patch.get("stt_model"), models.stt),
        ("llm_model", patch.get("llm_model"), models.llm),
        ("tts_model", patch.get("tts_model"), models.tts),
    ):
        if name is not None and name not in known:
            raise ProtocolError(
                "model_not_found",
                f"There is no model {name[:100]!r} for {field} in this workspace.",
                f"session.{field}",
            )


def _transcription(now: Transcription | None, patch: TranscriptionPatch | None) -> Transcription | None:
    if patch is None:
        return None
    now = now or Transcription()
    return replace(now, language=patch.get("language", now.language), prompt=patch.get("prompt", now.prompt))


def _turn_detection(now: TurnDetection | None, patch: TurnDetectionPatch | None) -> TurnDetection | None:
    return None if patch is None else replace(now or TurnDetection(), **patch)
