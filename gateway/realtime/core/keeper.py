"""Adds items to the conversation and takes them out, tells the client of it, and keeps it within its limits."""

from collections.abc import Callable

from gateway.realtime.core import server
from gateway.realtime.core.items import Conversation, Item
from gateway.realtime.core.shared import Shared


class Keeper:
    def __init__(self, shared: Shared, forget: Callable[[Item], None]) -> None:
        """`forget` is called with each item that has left the conversation."""
        self._shared = shared
        self._forget = forget
        self.conversation = Conversation()

    def add(self, item: Item, previous_item_id: str | None = None) -> None:
        """An item that is whole is done at once."""
        self.conversation.add(item, previous_item_id)
        before = self.conversation.previous_id(item)
        self._shared.out.tell(server.ItemAdded(before, item))
        if item.status != "in_progress":
            self._shared.out.tell(server.ItemDone(before, item))
        self.keep_within_limits(item)

    def done(self, item: Item) -> None:
        """An answer has ended."""
        self._shared.out.tell(server.ItemDone(self.conversation.previous_id(item), item))
        self.keep_within_limits(item)

    def delete(self, item: Item) -> None:
        self.conversation.remove(item)
        self._shared.out.tell(server.ItemDeleted(item.id))
        self._forget(item)

    def keep_within_limits(self, changed: Item) -> None:
        """Weigh an item that is new or has changed, and forget the oldest beyond the limits, as if deleted."""
        self.conversation.weigh(changed)
        limits = self._shared.limits
        while len(self.conversation) > limits.items or self.conversation.chars > limits.text_chars:
            oldest = next((item for item in self.conversation if item.status != "in_progress"), None)
            if oldest is None or oldest is changed:
                return
            self.delete(oldest)
