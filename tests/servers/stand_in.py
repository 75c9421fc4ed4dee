"""What the stand-ins of providers have in common: where they run, and how they are told what to do.

Each runs in a thread of this process, or in a process of its own (`own_process=True`, for measurements and where
workers are killed). All are told what to do through the same HTTP endpoints, so any other process may do it too:
`POST /_control` and `GET /_state`. By hand: `python -m tests.servers.openai --port 8089 --settings '{"latency": 0.1}'`.
"""

import argparse
import asyncio
import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self

import uvloop

from tests.servers.http11 import Request, Server

PATIENCE = 120.0  # seconds for a start or an end: machines that run tests are busy

Ready = Callable[[int, Callable[[], object]], None]


class App(Protocol):
    def handle(self, request: Request) -> Any: ...

    def started(self, server: Server) -> None:
        """Called when the server listens."""


class StandIn:
    """A running stand-in, and how to tell it what to do."""

    package: ClassVar[str]  # python -m PACKAGE
    make_app: ClassVar[Any]  # a class: of settings and faults it makes an App
    does_all_the_same: ClassVar[bool] = False  # see http11.Server

    def __init__(self, port: int, stop: Callable[[], None] = lambda: None) -> None:
        self.port = port
        self.stop = stop

    @classmethod
    def start(cls, *, own_process: bool = False, faults: list[dict[str, Any]] | None = None, **settings: Any) -> Self:
        """`settings` and `faults`: see the package's."""
        begin = cls._start_process if own_process else cls._start_thread
        return cls(*begin(settings, faults or []))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def settings(self, **settings: Any) -> None:
        self._tell({"settings": settings})

    def fault(self, where: str, what: str, **details: Any) -> None:
        self._tell({"faults": [{"where": where, "what": what, **details}]})

    def clear_faults(self) -> None:
        self._tell({"clear_faults": True})

    def reset(self) -> None:
        """As if started anew."""
        self._tell({"reset": True})

    def state(self) -> dict[str, Any]:
        """See App.report."""
        return json.loads(self._ask("GET", "/_state"))

    def _tell(self, wishes: dict[str, Any]) -> None:
        self._ask("POST", "/_control", json.dumps(wishes).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer.decode())
        return answer

    @classmethod
    def _start_thread(cls, settings: dict[str, Any], faults: list[dict[str, Any]]) -> tuple[int, Callable[[], None]]:
        started = threading.Event()
        told: dict[str, Any] = {}

        def ready(port: int, stop: Callable[[], object]) -> None:
            told.update(port=port, stop=stop)
            started.set()

        thread = threading.Thread(target=cls._serve, args=(settings, faults, 0, ready), daemon=True, name=cls.package)
        thread.start()
        if not started.wait(PATIENCE):
            raise RuntimeError(f"{cls.package} did not start")

        def stop() -> None:
            told["stop"]()
            thread.join(PATIENCE)

        return told["port"], stop

    @classmethod
    def _start_process(cls, settings: dict[str, Any], faults: list[dict[str, Any]]) -> tuple[int, Callable[[], None]]:
        command = [sys.executable, "-m", cls.package, "--port", "0", "--with-parent"]
        command += ["--settings", json.dumps(settings), "--faults", json.dumps(faults)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = int(process.stdout.readline())

        def stop() -> None:
            process.stdin.close()  # it ends with its parent
            process.wait(PATIENCE)
            process.stdout.close()

        return port, stop

    @classmethod
    def main(cls) -> None:
        """Prints the port, and serves until it is ended."""
        parser = argparse.ArgumentParser(prog=f"python -m {cls.package}", description=cls.main.__doc__)
        parser.add_argument("--port", type=int, default=0)
        parser.add_argument("--settings", type=json.loads, default={}, help="JSON object, see settings.py")
        parser.add_argument("--faults", type=json.loads, default=[], help="JSON list of faults")
        parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
        options = parser.parse_args()

        def ready(port: int, stop: Callable[[], object]) -> None:
            print(port, flush=True)  # noqa: T201
            signal.signal(signal.SIGTERM, lambda *_: stop())
            if options.with_parent:
                threading.Thread(target=lambda: (sys.stdin.read(), stop()), daemon=True).start()

        cls._serve(options.settings, options.faults, options.port, ready)

    @classmethod
    def _serve(cls, settings: dict[str, Any], faults: list[dict[str, Any]], port: int, ready: Ready) -> None:
        """Serves until stopped; `ready` is given the port, and a function for any thread that stops it."""

        async def serve() -> None:
            app = cls.make_app(settings, faults)
            loop = asyncio.get_running_loop()
            stopped = asyncio.Event()
            server = Server(app.handle, does_all_the_same=cls.does_all_the_same)
            await server.listen(port)
            app.started(server)
            ready(server.port, lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()
            await server.close()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
