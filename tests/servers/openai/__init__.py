"""OpenAI's API on loopback, for the real SDK: transcriptions, translations, speech, chat, models.

    with OpenAIServer.start(text="hello there", latency=0.1) as openai:
        client = OpenAI(api_key="any", base_url=openai.url)
        openai.fault("transcriptions", "status", status=429, retry_after=2, times=1)
        ...
        assert openai.calls[-1].fields["model"] == ["whisper-1"]
        assert openai.most_at_once == 1

It runs in a thread of this process, or in a process of its own (`own_process=True`, for measurements). Both are told
what to do through the same HTTP endpoints, so any other process may do it too: `POST /_control` and `GET /_state`.
By hand: `python -m tests.servers.openai --port 8089 --settings '{"latency": 0.1}'`.
"""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.servers.openai.serving import serve
from tests.servers.openai.voices import words_for

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


class OpenAIServer:
    """A running stand-in, and how to tell it what to do."""

    def __init__(self, port: int, stop: Callable[[], None] = lambda: None) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self._stop = stop

    @classmethod
    def start(cls, *, own_process: bool = False, faults: list[dict[str, Any]] | None = None, **settings: Any) -> Self:
        """`settings`: see settings.Settings; `faults`: see settings.Fault."""
        begin = _start_process if own_process else _start_thread
        return cls(*begin(settings, faults or []))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop()

    def settings(self, **settings: Any) -> None:
        self._tell({"settings": settings})

    def fault(self, where: str, what: str, **details: Any) -> None:
        """`details`: match, times, skip, status, message, code, type, retry_after, body."""
        self._tell({"faults": [{"where": where, "what": what, **details}]})

    def clear_faults(self) -> None:
        self._tell({"clear_faults": True})

    def release(self) -> None:
        """Let streams go on that wait because of the setting `hold_after`."""
        self._tell({"release": True})

    def reset(self) -> None:
        """As if started anew."""
        self._tell({"reset": True})

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

    def state(self) -> dict[str, Any]:
        """See App.report."""
        return json.loads(self._ask("GET", "/_state"))

    def _tell(self, wishes: dict[str, Any]) -> None:
        self._ask("POST", "/_control", json.dumps(wishes).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer.decode())
        return answer


def _start_thread(settings: dict[str, Any], faults: list[dict[str, Any]]) -> tuple[int, Callable[[], None]]:
    started = threading.Event()
    told: dict[str, Any] = {}

    def ready(port: int, stop: Callable[[], None]) -> None:
        told.update(port=port, stop=stop)
        started.set()

    thread = threading.Thread(target=serve, args=(settings, faults, 0, ready), daemon=True, name="openai-stand-in")
    thread.start()
    if not started.wait(120):
        raise RuntimeError("the OpenAI stand-in did not start")

    def stop() -> None:
        told["stop"]()
        thread.join(10)

    return told["port"], stop


def _start_process(settings: dict[str, Any], faults: list[dict[str, Any]]) -> tuple[int, Callable[[], None]]:
    command = [sys.executable, "-m", "tests.servers.openai", "--port", "0", "--with-parent"]
    command += ["--settings", json.dumps(settings), "--faults", json.dumps(faults)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline().rsplit(":")[-1].partition("/")[0])

    def stop() -> None:
        process.stdin.close()  # it ends with its parent
        process.wait(120)
        process.stdout.close()

    return port, stop
