"""OpenAI's API on loopback, for the real SDK: transcriptions, translations, speech, chat, models.

    with OpenAIServer.start(text="hello there", latency=0.1) as openai:
        client = OpenAI(api_key="any", base_url=openai.url)
        openai.fault("transcriptions", "status", status=429, retry_after=2, times=1)
        ...
        assert openai.calls[-1].fields["model"] == ["whisper-1"]
        assert openai.most_at_once == 1

Settings: see settings.Settings; faults: see settings.Fault. Where it runs: see tests.servers.stand_in.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.servers.openai.app import App
from tests.servers.openai.voices import words_for
from tests.servers.stand_in import StandIn

__all__ = ["Call", "File", "OpenAIServer", "words_for"]


@dataclass(frozen=True)
class File:
    """The audio that a call brought."""

    name: str
    mime_type: str
    size: int  # bytes
    sha256: str
    head: str  # its first four bytes, as Latin-1


@dataclass(frozen=True)
class Call:
    """A request as it came. `fields`: a form's, as lists of texts, or the JSON object."""

    operation: str  # transcriptions, translations, speech, chat, models
    path: str
    fields: dict[str, Any]
    headers: dict[str, str]  # names in lower case; without the key
    bearer: bool  # whether there was a key
    when: float  # seconds since 1970
    file: File | None = field(default=None)


class OpenAIServer(StandIn):
    package = "tests.servers.openai"
    make_app = App

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def release(self) -> None:
        """Let streams go on that wait because of the setting `hold_after`."""
        self._tell({"release": True})

    @property
    def calls(self) -> list[Call]:
        """The newest ones, oldest first; `counts` counts all."""
        calls = []
        for call in self.state()["calls"]:
            file = call.pop("file", None)
            calls.append(Call(**call, file=File(**file) if file else None))
        return calls

    @property
    def counts(self) -> dict[str, int]:
        """Calls by operation."""
        return self.state()["counts"]

    @property
    def most_at_once(self) -> int:
        """The most calls that were under way at one moment, streams included."""
        return self.state()["most_at_once"]

    @property
    def open_streams(self) -> int:
        return self.state()["open_streams"]

    @property
    def left(self) -> int:
        """Calls whose caller went away before their end."""
        return self.state()["left"]

    @property
    def connections(self) -> int:
        """Open ones."""
        return self.state()["connections"]

    @property
    def held_up(self) -> int:
        """Connections whose caller reads more slowly than their answer could be sent."""
        return self.state()["held_up"]
