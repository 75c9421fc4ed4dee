"""State that the parts of a session share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voice.protocol import server_events
from voice.protocol.commands import Command
from voice.protocol.config import Limits, Models, SessionConfig
from voice.protocol.conversation import Conversation, Item
from voice.protocol.server_events import ServerEvent


class EventSink(Protocol):
    """Takes the session's output, in order."""

    def emit(self, event: ServerEvent) -> None:
        """Send an event to the client. It is rendered at once, since items and responses change later."""

    def command(self, command: Command) -> None:
        """Send a command to the runner."""


class Ids:
    """Makes ids, which are unique if the stem is."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self._made = 0

    def new(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self.stem}{self._made:06x}"


@dataclass
class SessionContext:
    """What all parts of one session read and write."""

    sink: EventSink
    ids: Ids
    limits: Limits
    models: Models
    defaults: SessionConfig  # the settings at the session's start, which unknown names fall back to
    config: SessionConfig  # the current settings
    conversation_id: str


class ConversationKeeper:
    """Changes the conversation, reports each change to the client, and keeps the limits."""

    def __init__(self, context: SessionContext, forget: Callable[[Item], None]) -> None:
        """`forget` is called with each item that was deleted."""
        self._context = context
        self._forget = forget
        self.conversation = Conversation()

    def add(self, item: Item, previous_item_id: str | None = None) -> None:
        """Add an item; one that is complete is reported as done, too."""
        self.conversation.add(item, previous_item_id)
        before = self.conversation.previous_id(item)
        self._context.sink.emit(server_events.ItemAdded(before, item))
        if item.status != "in_progress":
            self._context.sink.emit(server_events.ItemDone(before, item))
        self.keep_within_limits(item)

    def done(self, item: Item) -> None:
        """Report that the item of an answer is complete."""
        self._context.sink.emit(server_events.ItemDone(self.conversation.previous_id(item), item))
        self.keep_within_limits(item)

    def delete(self, item: Item) -> None:
        self.conversation.remove(item)
        self._context.sink.emit(server_events.ItemDeleted(item.id))
        self._forget(item)

    def keep_within_limits(self, changed: Item) -> None:
        """Count the characters of a new or changed item, and delete the oldest items beyond the limits."""
        self.conversation.weigh(changed)
        limits = self._context.limits
        while len(self.conversation) > limits.items or self.conversation.chars > limits.text_chars:
            oldest = next((item for item in self.conversation if item.status != "in_progress"), None)
            if oldest is None or oldest is changed:
                return
            self.delete(oldest)
