"""Parses client events; a dialect adds the parts that differ."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from voice.protocol import client_events
from voice.protocol.client_events import ClientEvent, ItemType, NewContent, NewItem, Role, SessionPatch
from voice.protocol.config import Kind, ProtocolError
from voice.protocol.dialects.fields import MOST_MS, Fields


class Shapes(Protocol):
    """The parts of parsing that differ between the dialects."""

    def session_patch(self, session: Fields, kind: Kind) -> SessionPatch: ...

    def response_options(self, response: Fields) -> client_events.ResponseOptions: ...


def client_event(raw: dict[str, Any], kind: Kind, shapes: Shapes) -> ClientEvent:
    """Parse an event of a session of this kind. Raises ProtocolError."""
    event = Fields(raw)
    name = event.required("type", event.string("type"))
    if name not in PARSERS:
        raise ProtocolError("invalid_event", f"There is no client event of the type {name[:100]!r}.", "type")
    return PARSERS[name](event, kind, shapes)


def event_id_of(raw: Any) -> str | None:
    """Return the client's id of its event, which an error about it names."""
    event_id = raw.get("event_id") if isinstance(raw, dict) else None
    return event_id if isinstance(event_id, str) and len(event_id) <= 512 else None


def audio_of(fields: Fields, name: str) -> bytes | None:
    """Read audio in base64."""
    text = fields.string(name)
    if text is None:
        return None
    try:
        return msgspec.convert(text, bytes)
    except msgspec.ValidationError:
        raise fields.invalid(name, "it is not valid base64") from None


def _update_session(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    session = event.required("session", event.object("session"))
    return client_events.UpdateSession(shapes.session_patch(session, kind), event_id=event_id_of(event.raw))


def _append(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    audio = event.required("audio", audio_of(event, "audio"))
    return client_events.AppendAudio(audio, event_id=event_id_of(event.raw))


def _commit(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    return client_events.CommitAudio(event_id=event_id_of(event.raw))


def _clear(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    return client_events.ClearAudio(event_id=event_id_of(event.raw))


def _create_item(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    item = new_item(event.required("item", event.object("item")))
    previous = event.identifier("previous_item_id")
    return client_events.CreateItem(item, previous, event_id=event_id_of(event.raw))


def _item_id(event: Fields) -> str:
    return event.required("item_id", event.identifier("item_id"))


def _retrieve(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    return client_events.RetrieveItem(_item_id(event), event_id=event_id_of(event.raw))


def _delete(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    return client_events.DeleteItem(_item_id(event), event_id=event_id_of(event.raw))


def _truncate(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    return client_events.TruncateItem(
        item_id=_item_id(event),
        content_index=event.required("content_index", event.integer("content_index", 0, 1_000)),
        audio_end_ms=event.required("audio_end_ms", event.integer("audio_end_ms", 0, MOST_MS)),
        event_id=event_id_of(event.raw),
    )


def _create_response(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    response = event.object("response")
    options = client_events.ResponseOptions() if response is None else shapes.response_options(response)
    return client_events.CreateResponse(options, event_id=event_id_of(event.raw))


def _cancel_response(event: Fields, kind: Kind, shapes: Shapes) -> ClientEvent:
    return client_events.CancelResponse(event.identifier("response_id"), event_id=event_id_of(event.raw))


PARSERS: dict[str, Callable[[Fields, Kind, Shapes], ClientEvent]] = {
    "session.update": _update_session,
    "transcription_session.update": _update_session,  # the beta dialect's name in transcription sessions
    "input_audio_buffer.append": _append,
    "input_audio_buffer.commit": _commit,
    "input_audio_buffer.clear": _clear,
    "conversation.item.create": _create_item,
    "conversation.item.retrieve": _retrieve,
    "conversation.item.truncate": _truncate,
    "conversation.item.delete": _delete,
    "response.create": _create_response,
    "response.cancel": _cancel_response,
}


ITEM_TYPES: dict[str, ItemType] = {
    "message": "message",
    "function_call": "function_call",
    "function_call_output": "function_call_output",
}
CALL_FIELDS = ("call_id", "name", "arguments", "output")
REQUIRED = {"function_call": ("name", "arguments"), "function_call_output": ("call_id", "output")}
ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
CONTENT: dict[Role, dict[str, Literal["text", "audio"]]] = {
    "user": {"input_text": "text", "text": "text", "input_audio": "audio"},
    "system": {"input_text": "text", "text": "text"},
    "assistant": {
        "output_text": "text",
        "text": "text",
        "input_text": "text",
        "output_audio": "audio",
        "audio": "audio",
    },
}


def new_item(item: Fields) -> NewItem:
    """Parse an item in either dialect."""
    kind = item.choice("type", ITEM_TYPES) or "message"
    item_id = item.identifier("id")
    if kind != "message":
        unused = {name: value for name in CALL_FIELDS if (value := item.string(name)) is not None}
        for name in REQUIRED[kind]:
            item.required(name, unused.get(name))
        return NewItem(id=item_id, type=kind, role=None, unused=unused)
    role: Role = item.required("role", item.choice("role", ROLES))
    parts = item.required("content", item.objects("content"))
    return NewItem(id=item_id, type=kind, role=role, content=tuple(_content(part, role) for part in parts))


def _content(part: Fields, role: Role) -> NewContent:
    kind = part.required("type", part.choice("type", CONTENT[role]))
    if kind == "text":
        return NewContent("text", part.required("text", part.string("text")))
    transcript = part.string("transcript")
    if role == "assistant":
        return NewContent("audio", transcript or "")
    if transcript is not None:
        return NewContent("audio", transcript)
    return NewContent("audio", None, part.required("audio", audio_of(part, "audio")))


def response_input(response: Fields) -> tuple[NewItem | client_events.ItemReference, ...] | None:
    entries = response.objects("input")
    if entries is None:
        return None
    return tuple(_entry(entry) for entry in entries)


def _entry(entry: Fields) -> NewItem | client_events.ItemReference:
    if entry.raw.get("type") == "item_reference":
        return client_events.ItemReference(entry.required("id", entry.identifier("id")))
    return new_item(entry)


def metadata(response: Fields) -> dict[str, str] | None:
    """Read at most 16 strings by name."""
    fields = response.object("metadata")
    if fields is None:
        return None
    if len(fields.raw) > 16:
        raise response.invalid("metadata", "expected at most 16 entries")
    for name in fields.raw:
        if len(name) > 64:
            raise response.invalid("metadata", "expected names of at most 64 characters")
        fields.required(name[:64], fields.string(name, most=512))
    return dict(fields.raw)


def in_conversation(response: Fields) -> bool:
    return response.string("conversation") != "none"
