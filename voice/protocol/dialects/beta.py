"""The beta dialect: flat settings, item.created, other names for the parts of an answer."""

from typing import Any

from voice.protocol import client_events, server_events
from voice.protocol.config import AudioFormat, Kind, Modality, SessionConfig
from voice.protocol.conversation import Item, Part
from voice.protocol.dialects import parse, render, settings
from voice.protocol.dialects.fields import Fields
from voice.protocol.server_events import Response

FORMATS = {
    "pcm16": AudioFormat.PCM16,
    "g711_ulaw": AudioFormat.ULAW,
    "g711_alaw": AudioFormat.ALAW,
}
FORMAT_NAMES = {audio_format: name for name, audio_format in FORMATS.items()}
UNUSED = (
    "include",
    "input_audio_noise_reduction",
    "prompt",
    "tool_choice",
    "tools",
    "tracing",
)
SESSION = {
    "model",
    "modalities",
    "instructions",
    "input_audio_format",
    "output_audio_format",
    "input_audio_transcription",
    "turn_detection",
    "temperature",
    "max_response_output_tokens",
    "speed",
    "client_secret",  # of sessions made by REST
    "object",  # part of the server's own session object, which clients may send back
    "id",
    "expires_at",
    *UNUSED,
    *settings.OWN_NAMES,
}
RESPONSE = {
    "instructions",
    "modalities",
    "conversation",
    "metadata",
    "input",
    "voice",
    "output_audio_format",
    "max_response_output_tokens",
    "max_output_tokens",
    "temperature",
    "tools",
    "tool_choice",
}
NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}


class Beta:
    """The beta dialect's parts of parsing and rendering."""

    params = {"session.input_format": "session.input_audio_format"}

    def session_patch(self, session: Fields, kind: Kind) -> client_events.SessionPatch:
        session.only(SESSION)
        patch = settings.common_patch(session, UNUSED)
        if (modality := _modality(session)) is not None:
            patch["modality"] = modality
        if (input_format := session.choice("input_audio_format", FORMATS)) is not None:
            patch["input_format"] = input_format
        if (output_format := session.choice("output_audio_format", FORMATS)) is not None:
            patch["output_format"] = output_format
        settings.transcription_patch(session, "input_audio_transcription", patch)
        settings.turn_detection_patch(session, patch)
        settings.max_tokens_patch(session, "max_response_output_tokens", patch)
        if (speed := session.number("speed", 0.25, 1.5)) is not None:
            patch["speed"] = speed
        return patch

    def response_options(self, response: Fields) -> client_events.ResponseOptions:
        response.only(RESPONSE)
        max_output_tokens = settings.max_tokens(response, "max_response_output_tokens")
        return client_events.ResponseOptions(
            instructions=response.string("instructions"),
            modality=_modality(response),
            voice=response.string("voice", most=256),
            output_format=response.choice("output_audio_format", FORMATS),
            max_output_tokens=max_output_tokens or settings.max_tokens(response, "max_output_tokens"),
            temperature=response.number("temperature", 0, 2),
            in_conversation=parse.in_conversation(response),
            input=parse.response_input(response),
            metadata=parse.metadata(response),
        )

    def render(self, event: server_events.ServerEvent) -> dict[str, Any] | None:
        if isinstance(event, server_events.ItemDone):
            return None
        name = NAMES.get(event.type, event.type)
        if isinstance(event, server_events.SessionUpdated) and event.session.kind == "transcription":
            name = "transcription_session.updated"
        return {"type": name, **render.fields(event, self)}

    def session(self, session_id: str, config: SessionConfig) -> dict[str, Any]:
        transcription = config.transcription
        sound_in = {
            "input_audio_format": FORMAT_NAMES[config.input_format],
            "input_audio_transcription": (
                None if transcription is None else render.transcription(config.stt_model, transcription)
            ),
            "input_audio_noise_reduction": config.unused.get("input_audio_noise_reduction"),
            "turn_detection": render.turn_detection(config.turn_detection, idle=False),
            "include": config.unused.get("include"),
            "expires_at": config.expires_at,
        }
        if config.kind == "transcription":
            return {
                "id": session_id,
                "object": "realtime.transcription_session",
                **sound_in,
                "stt_model": config.stt_model,
            }
        return {
            "id": session_id,
            "object": "realtime.session",
            "model": config.model,
            "modalities": _modalities(config.modality),
            "instructions": config.instructions,
            "voice": config.voice,
            "output_audio_format": FORMAT_NAMES[config.output_format],
            **sound_in,
            "tools": config.unused.get("tools") or [],
            "tool_choice": config.unused.get("tool_choice") or "auto",
            "temperature": config.temperature,
            "max_response_output_tokens": config.max_output_tokens or "inf",
            "speed": config.speed,
            "tracing": config.unused.get("tracing"),
            "prompt": config.unused.get("prompt"),
            **render.own(config),
        }

    def response(self, response: Response) -> dict[str, Any]:
        return {
            **render.response(response, self),
            "modalities": _modalities(response.modality),
            "voice": response.voice,
            "output_audio_format": FORMAT_NAMES[response.output_format],
            "temperature": response.temperature,
            "max_output_tokens": response.max_output_tokens or "inf",
        }

    def part(self, item: Item, part: Part) -> dict[str, Any]:
        return render.part(item, part, text="text", audio="audio")


def _modalities(modality: Modality) -> list[str]:
    return ["text"] if modality == "text" else ["text", "audio"]


def _modality(fields: Fields) -> Modality | None:
    modalities = fields.raw.get("modalities")
    if modalities is None:
        return None
    if modalities == ["text"]:
        return "text"
    if modalities not in (["audio"], ["text", "audio"], ["audio", "text"]):
        raise fields.invalid("modalities", "supported values are ['text'] and ['text', 'audio']")
    return "audio"
