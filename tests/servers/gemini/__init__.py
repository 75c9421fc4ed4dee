"""The Gemini API on loopback, for the real SDK: Files, Batch, generateContent.

    with GeminiServer.start() as gemini:
        client = genai.Client(api_key=API_KEY, http_options=HttpOptions(base_url=gemini.base_url, api_version="v1beta"))
        gemini.fault("batch_create", "drop", effect=True, times=1)
        ...
        assert gemini.state()["files"] == []

It runs in a thread of this process, or in a process of its own (`own_process=True`, for measurements and where workers
are killed). Both are told what to do through the same HTTP endpoints, so any other process may do it too:
`POST /_control` and `GET /_state`. By hand: `python -m tests.servers.gemini --port 8088`.
"""

import hashlib
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.servers.gemini.answers import words_for
from tests.servers.gemini.serving import serve
from tests.servers.gemini.settings import API_KEY

__all__ = ["API_KEY", "GeminiServer", "sha256_of", "words_for"]


def sha256_of(audio: bytes) -> str:
    return hashlib.sha256(audio).hexdigest()


class GeminiServer:
    """A running stand-in, and how to tell it what to do."""

    def __init__(self, port: int, stop: Callable[[], None] = lambda: None) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self._stop = stop

    @classmethod
    def start(cls, *, own_process: bool = False, faults: list[dict[str, Any]] | None = None, **settings: Any) -> Self:
        """`settings`: see settings.Settings; `faults`: see faults.Fault."""
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

    def answers(self, texts: dict[str, str]) -> None:
        """sha256 (hex) of an audio's bytes -> its text. Other audio is answered with `words_for(sha256)`."""
        self._tell({"answers": texts})

    def fault(self, where: str, what: str, **details: Any) -> None:
        """`details`: match, keys, indices, times, skip, probability, effect, status, message, seconds, retry_after."""
        self._tell({"faults": [{"where": where, "what": what, **details}]})

    def clear_faults(self) -> None:
        self._tell({"clear_faults": True})

    def advance(self, seconds: float) -> None:
        """Puts the server's clock forward."""
        self._tell({"advance": seconds})

    def reset(self) -> None:
        """As if started anew."""
        self._tell({"reset": True})

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

    thread = threading.Thread(target=serve, args=(settings, faults, 0, ready), daemon=True, name="gemini-stand-in")
    thread.start()
    if not started.wait(120):
        raise RuntimeError("the Gemini stand-in did not start")

    def stop() -> None:
        told["stop"]()
        thread.join(10)

    return told["port"], stop


def _start_process(settings: dict[str, Any], faults: list[dict[str, Any]]) -> tuple[int, Callable[[], None]]:
    command = [sys.executable, "-m", "tests.servers.gemini", "--port", "0", "--with-parent"]
    command += ["--settings", json.dumps(settings), "--faults", json.dumps(faults)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())

    def stop() -> None:
        process.stdin.close()  # it ends with its parent
        process.wait(120)
        process.stdout.close()

    return port, stop
