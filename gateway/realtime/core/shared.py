"""What the parts of a session have in common."""

from dataclasses import dataclass
from typing import Protocol

from gateway.realtime.core.commands import Command
from gateway.realtime.core.config import Limits, Models, SessionConfig
from gateway.realtime.core.server import ServerEvent


class Outbox(Protocol):
    def tell(self, event: ServerEvent) -> None:
        """To the client; rendered at once, since items and responses change later."""

    def order(self, command: Command) -> None:
        """To the runner."""


class Ids:
    """Names of things, unique as far as the stem is."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self._made = 0

    def new(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self.stem}{self._made:06x}"


@dataclass
class Shared:
    out: Outbox
    ids: Ids
    limits: Limits
    models: Models
    defaults: SessionConfig  # as the session began: what unknown names fall back to
    config: SessionConfig  # as it is now
    conversation_id: str
