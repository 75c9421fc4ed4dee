"""The GA dialect: nested settings, item.added and item.done."""

from typing import Any

from voice.protocol import client_events, server_events
from voice.protocol.config import AudioFormat, Kind, Modality, SessionConfig
from voice.protocol.conversation import Item, Part
from voice.protocol.dialects import parse, render, settings
from voice.protocol.dialects.fields import Fields
from voice.protocol.server_events import Response

FORMATS = {
    "audio/pcm": AudioFormat.PCM16,
    "audio/pcmu": AudioFormat.ULAW,
    "audio/pcma": AudioFormat.ALAW,
}
UNUSED = (
    "include",
    "parallel_tool_calls",
    "prompt",
    "reasoning",
    "tool_choice",
    "tools",
    "tracing",
    "truncation",
)
SESSION = {
    "type",
    "model",
    "output_modalities",
    "instructions",
    "audio",
    "max_output_tokens",
    "temperature",
    "object",  # part of the server's own session object, which clients may send back
    "id",
    "expires_at",
    *UNUSED,
    *settings.OWN_NAMES,
}
RESPONSE = {
    "instructions",
    "output_modalities",
    "conversation",
    "metadata",
    "input",
    "audio",
    "max_output_tokens",
    "temperature",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "prompt",
    "reasoning",
}


class GA:
    """The GA dialect's parts of parsing and rendering."""

    params = {"session.input_format": "session.audio.input.format"}

    def session_patch(self, session: Fields, kind: Kind) -> client_events.SessionPatch:
        session.only(SESSION)
        if session.choice("type", {"realtime": "realtime", "transcription": "transcription"}) not in (None, kind):
            raise session.invalid("type", f"this is a {kind} session")
        patch = settings.common_patch(session, UNUSED)
        if (modality := _modality(session)) is not None:
            patch["modality"] = modality
        settings.max_tokens_patch(session, "max_output_tokens", patch)
        audio = session.object("audio")
        if audio is not None:
            audio.only(("input", "output"))
            if (sound_in := audio.object("input")) is not None:
                _input(sound_in, patch)
            if (sound_out := audio.object("output")) is not None:
                _output(sound_out, patch)
        return patch

    def response_options(self, response: Fields) -> client_events.ResponseOptions:
        response.only(RESPONSE)
        patch: client_events.SessionPatch = {}
        if (audio := response.object("audio")) is not None and (output := audio.object("output")) is not None:
            output.only(("format", "voice"))
            _output(output, patch)
        return client_events.ResponseOptions(
            instructions=response.string("instructions"),
            modality=_modality(response),
            voice=patch.get("voice"),
            output_format=patch.get("output_format"),
            max_output_tokens=settings.max_tokens(response, "max_output_tokens"),
            temperature=response.number("temperature", 0, 2),
            in_conversation=parse.in_conversation(response),
            input=parse.response_input(response),
            metadata=parse.metadata(response),
        )

    def render(self, event: server_events.ServerEvent) -> dict[str, Any] | None:
        return {"type": event.type, **render.fields(event, self)}

    def session(self, session_id: str, config: SessionConfig) -> dict[str, Any]:
        transcription = config.transcription
        sound_in = {
            "format": _format(config.input_format),
            "transcription": None if transcription is None else render.transcription(config.stt_model, transcription),
            "noise_reduction": config.unused.get("noise_reduction"),
            "turn_detection": render.turn_detection(config.turn_detection, idle=True),
        }
        if config.kind == "transcription":
            return {
                "type": "transcription",
                "object": "realtime.transcription_session",
                "id": session_id,
                "audio": {"input": sound_in},
                "include": config.unused.get("include"),
                "expires_at": config.expires_at,
                "stt_model": config.stt_model,
            }
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": config.model,
            "output_modalities": [config.modality],
            "instructions": config.instructions,
            "audio": {
                "input": sound_in,
                "output": {
                    "format": _format(config.output_format),
                    "voice": config.voice,
                    "speed": config.speed,
                },
            },
            "tools": config.unused.get("tools") or [],
            "tool_choice": config.unused.get("tool_choice") or "auto",
            "max_output_tokens": config.max_output_tokens or "inf",
            "truncation": config.unused.get("truncation") or "auto",
            "tracing": config.unused.get("tracing"),
            "prompt": config.unused.get("prompt"),
            "include": config.unused.get("include"),
            "expires_at": config.expires_at,
            **render.own(config),
        }

    def response(self, response: Response) -> dict[str, Any]:
        return {
            **render.response(response, self),
            "output_modalities": [response.modality],
            "max_output_tokens": response.max_output_tokens or "inf",
            "audio": {"output": {"format": _format(response.output_format), "voice": response.voice}},
        }

    def part(self, item: Item, part: Part) -> dict[str, Any]:
        return render.part(item, part, text="output_text", audio="output_audio")


def _modality(fields: Fields) -> Modality | None:
    modalities = fields.raw.get("output_modalities")
    if modalities is None:
        return None
    if modalities == ["text"]:
        return "text"
    if modalities != ["audio"]:
        raise fields.invalid("output_modalities", "supported values are ['audio'] and ['text']")
    return "audio"


def _format(audio_format: AudioFormat) -> dict[str, Any]:
    if audio_format is AudioFormat.PCM16:
        return {"type": audio_format.value, "rate": audio_format.sample_rate}
    return {"type": audio_format.value}


def _audio_format(fields: Fields) -> AudioFormat | None:
    wanted = fields.object("format")
    if wanted is None:
        return None
    wanted.only(("type", "rate"))
    audio_format = wanted.required("type", wanted.choice("type", FORMATS))
    rate = wanted.integer("rate", 1, 1_000_000)
    if rate not in (None, audio_format.sample_rate):
        raise wanted.invalid("rate", f"{audio_format.value} has {audio_format.sample_rate} Hz here")
    return audio_format


def _input(audio: Fields, patch: client_events.SessionPatch) -> None:
    audio.only(("format", "transcription", "noise_reduction", "turn_detection"))
    if (audio_format := _audio_format(audio)) is not None:
        patch["input_format"] = audio_format
    settings.transcription_patch(audio, "transcription", patch)
    settings.turn_detection_patch(audio, patch)
    settings.unused_patch(audio, ("noise_reduction",), patch)


def _output(audio: Fields, patch: client_events.SessionPatch) -> None:
    audio.only(("format", "voice", "speed"))
    if (audio_format := _audio_format(audio)) is not None:
        patch["output_format"] = audio_format
    if (voice := _voice(audio)) is not None:
        patch["voice"] = voice
    if (speed := audio.number("speed", 0.25, 1.5)) is not None:
        patch["speed"] = speed


def _voice(audio: Fields) -> str | None:
    if isinstance(audio.raw.get("voice"), dict):
        own = audio.object("voice")
        return None if own is None else own.required("id", own.string("id", most=256))
    return audio.string("voice", most=256)
