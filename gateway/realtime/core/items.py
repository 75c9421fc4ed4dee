"""The conversation: items in order, and what a chat model is told of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.realtime.core.speech import Spoken

Status = Literal["in_progress", "completed", "incomplete"]


@dataclass
class Part:
    """A piece of a message's content."""

    kind: Literal["text", "audio"]
    text: str | None  # of audio its transcript; None: it is not known (yet)

    @property
    def size(self) -> int:
        return len(self.text or "")


@dataclass(eq=False)
class Item:
    id: str
    type: Literal["message", "function_call", "function_call_output"]
    role: Literal["system", "user", "assistant"] | None  # of a message
    status: Status = "completed"
    content: list[Part] = field(default_factory=list)
    unused: Mapping[str, Any] = field(default_factory=dict)  # of function calls: shown, no part of the context
    spoken: Spoken | None = None  # of an assistant's speech

    @property
    def text(self) -> str:
        """What a chat model is told of it."""
        return "\n".join(part.text for part in self.content if part.text)

    @property
    def size(self) -> int:
        """characters"""
        return sum(part.size for part in self.content) + len(str(self.unused))
