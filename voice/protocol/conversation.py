"""The conversation: its items in order, and how much of each answer was spoken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from voice.protocol.client_events import ItemType, Role

CHARS_PER_MS = 0.015  # of average speech, until an answer's own pace is known


@dataclass
class Sentence:
    text: str  # including the white space after it
    ms: float = 0.0  # of audio sent
    whole: bool = False  # all of its audio was sent


@dataclass
class SpokenAudio:
    """How much audio of an answer was sent, sentence by sentence."""

    sentences: list[Sentence] = field(default_factory=list)
    is_cut: bool = False  # it was truncated or interrupted: audio that is sent later is not counted

    @property
    def ms(self) -> float:
        """Duration of all audio sent."""
        return sum(sentence.ms for sentence in self.sentences)

    def begin(self, text: str) -> None:
        """Start the next sentence."""
        if not self.is_cut:
            self.end()
            self.sentences.append(Sentence(text))

    def end(self) -> None:
        """Mark the last sentence as sent completely."""
        if self.sentences:
            self.sentences[-1].whole = True

    def add(self, ms: float) -> None:
        """Count audio of the current sentence."""
        if not self.sentences:
            self.begin("")
        if not self.is_cut:
            self.sentences[-1].ms += ms

    def cut(self, ms: float) -> str:
        """Keep the first `ms` of the audio, and return their text, without white space at its end.

        Of a sentence that is cut, as many words are kept as fit its share of the audio.
        """
        pace = self._pace()
        kept = []
        left = min(ms, self.ms)
        for sentence in self.sentences:
            length = sentence.ms if sentence.whole else max(sentence.ms, len(sentence.text) / pace)
            if left + 1 < length:  # a client may round down
                kept.append(Sentence(_words(sentence.text, left / length), left, whole=True))
                break
            kept.append(Sentence(sentence.text, sentence.ms, whole=True))
            left -= length
        self.sentences, self.is_cut = kept, True
        return "".join(sentence.text for sentence in kept).rstrip()

    def _pace(self) -> float:
        """Characters per ms, measured on the sentences that were sent completely."""
        whole = [sentence for sentence in self.sentences if sentence.whole]
        ms = sum(sentence.ms for sentence in whole)
        chars = sum(len(sentence.text) for sentence in whole)
        return chars / ms if chars and ms else CHARS_PER_MS


def _words(text: str, share: float) -> str:
    """Cut the text to its first `share` (0 to 1), between words where it has spaces."""
    text = text.rstrip()
    end = int(len(text) * share)
    if not text[end : end + 1].strip() or len(text.split()) < 2:
        return text[:end]
    while end and not text[end - 1].isspace():
        end -= 1
    return text[:end]


Status = Literal["in_progress", "completed", "incomplete"]
START = "root"  # instead of a previous item's id


@dataclass
class Part:
    """A piece of a message's content."""

    kind: Literal["text", "audio"]
    text: str | None  # of audio its transcript; None: not known, or not yet


@dataclass(eq=False)
class Item:
    id: str
    type: ItemType
    role: Role | None  # of a message
    status: Status = "completed"
    content: list[Part] = field(default_factory=list)
    unused: Mapping[str, Any] = field(default_factory=dict)  # of function calls: shown, not part of the context
    spoken: SpokenAudio | None = None  # of an assistant's speech

    @property
    def text(self) -> str:
        """The text that a chat model is given for the item."""
        return "\n".join(part.text for part in self.content if part.text)

    @property
    def chars(self) -> int:
        return sum(len(part.text or "") for part in self.content) + sum(
            len(str(value)) for value in self.unused.values()
        )


class Conversation:
    """Items in order, with access by id."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._chars: dict[str, int] = {}
        self.chars = 0  # of all items, as of their last `weigh`

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, item: Item) -> bool:
        return self._items.get(item.id) is item

    def __iter__(self) -> Iterator[Item]:
        return (self._items[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        return self._order[-1] if self._order else None

    def get(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    def previous_id(self, item: Item) -> str | None:
        """Return the id of the item before; None: it is the first."""
        if self._order[-1] == item.id:  # nearly always
            return self._order[-2] if len(self._order) > 1 else None
        place = self._order.index(item.id)
        return self._order[place - 1] if place else None

    def add(self, item: Item, previous_item_id: str | None = None) -> None:
        """Insert an item at the end (None), at the start ("root"), or after an item of the conversation.

        The item's id must be new.
        """
        if previous_item_id is None:
            self._order.append(item.id)
        elif previous_item_id == START:
            self._order.insert(0, item.id)
        else:
            self._order.insert(self._order.index(previous_item_id) + 1, item.id)
        self._items[item.id] = item
        self.weigh(item)

    def remove(self, item: Item) -> None:
        del self._items[item.id]
        self._order.remove(item.id)
        self.chars -= self._chars.pop(item.id)

    def weigh(self, item: Item) -> None:
        """Count the characters of an item again, after a change of its text."""
        if item in self:
            self.chars += item.chars - self._chars.get(item.id, 0)
            self._chars[item.id] = item.chars
