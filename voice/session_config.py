"""Makes a session's first settings from the client's request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from gateway.errors import ApiError
from voice.models import RealtimeSession
from voice.pipelines import Choices
from voice.protocol.config import Kind, ProtocolError, SessionConfig
from voice.protocol.dialects import GA, Beta
from voice.protocol.dialects.fields import Fields
from voice.protocol.session_update import updated
from voice.protocol.wire import Dialect

DIALECTS: dict[str, Dialect] = {RealtimeSession.Dialect.GA: GA(), RealtimeSession.Dialect.BETA: Beta()}


@dataclass(frozen=True)
class SessionRequest:
    """The session that a client asks for."""

    dialect: str  # RealtimeSession.Dialect, of `settings`
    kind: Kind
    model: str | None = None  # a pipeline's name, or a model's
    settings: Mapping[str, Any] = field(default_factory=dict)


def config_of(choices: Choices, wanted: SessionRequest) -> SessionConfig:
    """Resolve models and settings. Raises ApiError: 404 for an unknown model, 400 for invalid settings."""
    is_transcription = wanted.kind == "transcription"
    pipeline = choices.pipeline_for(None if is_transcription else wanted.model)
    config = SessionConfig(
        model=pipeline.name,
        stt_model=pipeline.stt_model,
        llm_model=pipeline.llm_model,
        tts_model=pipeline.tts_model,
        voice=pipeline.voice,
        instructions=pipeline.instructions,
        kind=wanted.kind,
        expires_at=round(time.time()) + settings.REALTIME_SESSION_MINUTES * 60,
    )
    if is_transcription and wanted.model in choices.models.stt:
        config = replace(config, stt_model=str(wanted.model))
    try:
        patch = DIALECTS[wanted.dialect].session_patch(Fields(wanted.settings, "session"), wanted.kind)
        return updated(config, patch, models=choices.models, defaults=config)
    except ProtocolError as error:
        raise ApiError(400, str(error), code=error.code) from error
