"""A session on the wire: takes frames and runner events, returns frames and commands."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from voice.protocol import client_events, runner_events, server_events
from voice.protocol.commands import Command
from voice.protocol.config import Kind, Limits, Models, ProtocolError, SessionConfig
from voice.protocol.context import Ids
from voice.protocol.dialects.fields import Fields
from voice.protocol.dialects.parse import client_event, event_id_of
from voice.protocol.session import Session


class Dialect(Protocol):
    """Translates between JSON and the session's events: see dialects/."""

    def session_patch(self, session: Fields, kind: Kind) -> client_events.SessionPatch: ...

    def response_options(self, response: Fields) -> client_events.ResponseOptions: ...

    def render(self, event: server_events.ServerEvent) -> dict[str, Any] | None:
        """Return the event as a JSON object without its id; None: the dialect has no such event."""

    def session(self, session_id: str, config: SessionConfig) -> dict[str, Any]: ...


@dataclass
class Step:
    """The output that follows from one input."""

    frames: list[str] = field(default_factory=list)  # JSON texts to send, in this order
    commands: list[Command] = field(default_factory=list)  # to start after that, in this order


class Wire:
    """One session in one dialect; see the package's docstring."""

    def __init__(
        self, *, dialect: Dialect, config: SessionConfig, models: Models, ids: Ids, limits: Limits | None = None
    ) -> None:
        self._dialect = dialect
        self._ids = ids
        self._kind: Kind = config.kind
        self._step = Step()
        self.session = Session(config=config, models=models, ids=ids, limits=limits or Limits(), sink=self)

    def start(self) -> Step:
        self.session.start()
        return self._taken()

    def text(self, frame: str) -> Step:
        """Handle a text frame. Never raises: an invalid one is answered by an error event."""
        raw = None
        try:
            raw = _loaded(frame)
            self.session.handle(client_event(raw, self._kind, self._dialect))
        except ProtocolError as error:
            if not self.session.closed:
                self.emit(server_events.Error(error.code, str(error), error.param, event_id_of(raw)))
        return self._taken()

    def audio(self, frame: bytes) -> Step:
        """Handle a binary frame: audio to append."""
        self.session.handle(client_events.AppendAudio(frame))
        return self._taken()

    def runner_event(self, event: runner_events.RunnerEvent) -> Step:
        self.session.handle(event)
        return self._taken()

    def emit(self, event: server_events.ServerEvent) -> None:
        rendered = self._dialect.render(event)
        if rendered is not None:
            rendered["event_id"] = self._ids.new("event")
            self._step.frames.append(msgspec.json.encode(rendered).decode())

    def command(self, command: Command) -> None:
        self._step.commands.append(command)

    def _taken(self) -> Step:
        step, self._step = self._step, Step()
        return step


def _loaded(frame: str) -> dict[str, Any]:
    """Parse a frame as a JSON object. Raises ProtocolError."""
    try:
        raw = msgspec.json.decode(frame)
    except (ValueError, RecursionError):
        raise ProtocolError("invalid_event", "The event is not valid JSON.") from None
    if not isinstance(raw, dict):
        raise ProtocolError("invalid_event", "An event is a JSON object.")
    return raw
