"""The conversation: items in order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from voice.protocol.client_events import ItemType, Role

CHARS_PER_MS = 0.015  # of usual speech, where nothing better is known


@dataclass
class Sentence:
    text: str  # with the white space that follows it
    ms: float = 0.0  # of audio sent
    whole: bool = False  # all of its audio was sent


@dataclass
class SpokenAudio:
    """An answer's audio as it was sent."""

    sentences: list[Sentence] = field(default_factory=list)
    is_cut: bool = False  # what is sent from then on is not heard any more, and not counted

    @property
    def ms(self) -> float:
        """All audio sent."""
        return sum(sentence.ms for sentence in self.sentences)

    def begin(self, text: str) -> None:
        if not self.is_cut:
            self.end()
            self.sentences.append(Sentence(text))

    def end(self) -> None:
        if self.sentences:
            self.sentences[-1].whole = True

    def add(self, ms: float) -> None:
        if not self.sentences:
            self.begin("")
        if not self.is_cut:
            self.sentences[-1].ms += ms

    def cut(self, ms: float) -> str:
        """Keep what is heard in the first `ms`, and return its text: whole sentences, and of one that is heard in
        part as many words as fit its share of the audio. It ends where the audio does, without white space.
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
        """Characters in a ms, by the sentences that are whole."""
        whole = [sentence for sentence in self.sentences if sentence.whole]
        ms = sum(sentence.ms for sentence in whole)
        chars = sum(len(sentence.text) for sentence in whole)
        return chars / ms if chars and ms else CHARS_PER_MS


def _words(text: str, share: float) -> str:
    """The words of the text's first `share` (0 to 1); characters, where the text has no spaces."""
    text = text.rstrip()
    end = int(len(text) * share)
    if not text[end : end + 1].strip() or len(text.split()) < 2:
        return text[:end]
    while end and not text[end - 1].isspace():
        end -= 1
    return text[:end]


Status = Literal["in_progress", "completed", "incomplete"]
START = "root"  # in place of a previous item's id


@dataclass
class Part:
    """A piece of a message's content."""

    kind: Literal["text", "audio"]
    text: str | None  # of audio its transcript; None: it is not known (yet)


@dataclass(eq=False)
class Item:
    id: str
    type: ItemType
    role: Role | None  # of a message
    status: Status = "completed"
    content: list[Part] = field(default_factory=list)
    unused: Mapping[str, Any] = field(default_factory=dict)  # of function calls: shown, no part of the context
    spoken: SpokenAudio | None = None  # of an assistant's speech

    @property
    def text(self) -> str:
        """What a chat model is told of it."""
        return "\n".join(part.text for part in self.content if part.text)

    @property
    def chars(self) -> int:
        return sum(len(part.text or "") for part in self.content) + sum(
            len(str(value)) for value in self.unused.values()
        )


class Conversation:
    """Items by id, in order."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._chars: dict[str, int] = {}
        self.chars = 0  # of all items, as they were weighed last

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
        """Of the item before; None: it is the first."""
        if self._order[-1] == item.id:  # nearly always
            return self._order[-2] if len(self._order) > 1 else None
        place = self._order.index(item.id)
        return self._order[place - 1] if place else None

    def add(self, item: Item, previous_item_id: str | None = None) -> None:
        """At the end, at the start ("root"), or after that item. The id must be new, and the previous one known."""
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
        """Count an item whose text has changed."""
        if item in self:
            self.chars += item.chars - self._chars.get(item.id, 0)
            self._chars[item.id] = item.chars
