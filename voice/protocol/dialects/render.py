"""Renders server events; a dialect adds the parts that differ."""

from dataclasses import asdict
from typing import Any, Protocol

from voice.protocol import server_events
from voice.protocol.config import SessionConfig, Transcription, TurnDetection
from voice.protocol.conversation import Item, Part
from voice.protocol.server_events import Response


class Words(Protocol):
    """The parts of rendering that differ between the dialects."""

    params: dict[str, str]  # a setting's name in config.py -> its path in a client's event

    def session(self, session_id: str, config: SessionConfig) -> dict[str, Any]: ...

    def response(self, response: Response) -> dict[str, Any]: ...

    def part(self, item: Item, part: Part) -> dict[str, Any]: ...


def fields(event: server_events.ServerEvent, words: Words) -> dict[str, Any]:
    """Return an event's fields, without its type and id."""
    match event:
        case server_events.PartEvent():
            return {
                "response_id": event.response_id,
                "item_id": event.item_id,
                "output_index": 0,
                "content_index": 0,
                **_said(event),
            }
        case server_events.Error():
            return {"error": _error(event, words)}
        case server_events.SessionCreated() | server_events.SessionUpdated():
            return {"session": words.session(event.session_id, event.session)}
        case server_events.ItemAdded() | server_events.ItemDone():
            return {"previous_item_id": event.previous_item_id, "item": _item(event.item, words)}
        case server_events.ItemRetrieved():
            return {"item": _item(event.item, words)}
        case server_events.OutputItemAdded() | server_events.OutputItemDone():
            return {"response_id": event.response_id, "output_index": 0, "item": _item(event.item, words)}
        case server_events.ResponseCreated() | server_events.ResponseDone():
            return {"response": words.response(event.response)}
        case server_events.TranscriptionCompleted():
            return {
                "item_id": event.item_id,
                "content_index": event.content_index,
                "transcript": event.transcript,
                "usage": _transcription_usage(event),
            }
        case server_events.TranscriptionFailed():
            error = {"type": "server_error", "code": event.code, "message": event.message, "param": None}
            return {"item_id": event.item_id, "content_index": event.content_index, "error": error}
        case _:
            return asdict(event)


def _said(event: server_events.PartEvent) -> dict[str, Any]:
    match event:
        case server_events.AudioDelta(audio=audio):
            return {"delta": audio}
        case server_events.TextDelta(delta=delta) | server_events.TranscriptDelta(delta=delta):
            return {"delta": delta}
        case server_events.TextDone(text=text):
            return {"text": text}
        case server_events.TranscriptDone(transcript=transcript):
            return {"transcript": transcript}
        case server_events.ContentPartAdded(modality=modality):
            return {"part": _response_part(modality, "")}
        case server_events.ContentPartDone(modality=modality, text=text):
            return {"part": _response_part(modality, text)}
        case _:
            return {}


def _response_part(modality: str, text: str) -> dict[str, Any]:
    """Render a part of a response, which both dialects write alike; items' parts differ."""
    return {"type": "text", "text": text} if modality == "text" else {"type": "audio", "transcript": text}


def _error(event: server_events.Error, words: Words) -> dict[str, Any]:
    return {
        "type": event.kind,
        "code": event.code,
        "message": event.message,
        "param": words.params.get(event.param, event.param) if event.param else None,
        "event_id": event.client_event_id,
    }


def _item(item: Item, words: Words) -> dict[str, Any]:
    common = {"id": item.id, "object": "realtime.item", "type": item.type, "status": item.status}
    if item.role is None:
        return {**common, **item.unused}
    return {**common, "role": item.role, "content": [words.part(item, part) for part in item.content]}


def part(item: Item, part: Part, *, text: str, audio: str) -> dict[str, Any]:
    """Render a part of an item. `text`, `audio`: the dialect's type names of an assistant's parts."""
    if part.kind == "text":
        return {"type": text if item.role == "assistant" else "input_text", "text": part.text}
    return {"type": audio if item.role == "assistant" else "input_audio", "transcript": part.text}


def response(response: Response, words: Words) -> dict[str, Any]:
    return {
        "object": "realtime.response",
        "id": response.id,
        "conversation_id": response.conversation_id,
        "status": response.status,
        "status_details": _status_details(response),
        "output": [] if response.item is None else [_item(response.item, words)],
        "usage": _usage(response),
        "metadata": response.metadata,
    }


def _status_details(response: Response) -> dict[str, Any] | None:
    if response.status in ("cancelled", "incomplete"):
        return {"type": response.status, "reason": response.reason}
    if response.status == "failed":
        error = {"type": "server_error", "code": response.error_code, "message": response.error_message}
        return {"type": "failed", "error": error}
    return None


def _usage(response: Response) -> dict[str, Any] | None:
    """Render the chat model's token counts, all of text; None if they are not known."""
    tokens_in, tokens_out = response.input_tokens, response.output_tokens
    if tokens_in is None or tokens_out is None:
        return None
    return {
        "total_tokens": tokens_in + tokens_out,
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "input_token_details": {"text_tokens": tokens_in, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": tokens_out, "audio_tokens": 0},
    }


def _transcription_usage(event: server_events.TranscriptionCompleted) -> dict[str, Any]:
    if event.input_tokens is None or event.output_tokens is None:
        return {"type": "duration", "seconds": event.seconds}
    return {
        "type": "tokens",
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "total_tokens": event.input_tokens + event.output_tokens,
    }


def transcription(model: str, settings: Transcription) -> dict[str, Any]:
    return {"model": model, "language": settings.language or None, "prompt": settings.prompt or None}


def turn_detection(settings: TurnDetection | None, *, idle: bool) -> dict[str, Any] | None:
    if settings is None:
        return None
    shown = {"type": "server_vad", **asdict(settings)}
    if not idle:
        del shown["idle_timeout_ms"]
    return shown


def own(config: SessionConfig) -> dict[str, str]:
    """Render the models under this platform's own field names."""
    return {"stt_model": config.stt_model, "llm_model": config.llm_model, "tts_model": config.tts_model}
