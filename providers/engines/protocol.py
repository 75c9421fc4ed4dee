"""How the site talks to an engine, and what every engine process does the same way.

A message is a header (JSON object) and a body (bytes), both preceded by their lengths. The site writes the engine's
options first and gets `{"ready": true}`; from then on each request gets one answer. An answer with `error` (a code of
`providers.reasons`) and `message` is a failure that the engine survived.

Engines import neither Django nor the site: this module and all that it imports are theirs as much as the site's.
"""

import json
import os
import resource
import select
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from core.child_process import ends_within

Message = tuple[dict[str, Any], bytes]
Handler = Callable[[dict[str, Any]], Message]

_LENGTHS = struct.Struct("!II")

# An engine that nobody asks ends by itself; the site does not ask one that has been idle for nearly that long.
ENGINE_IDLE_SECONDS = 30.0

INSTALL_LOCAL = "Install the embedded engines: pip install -r requirements-local.lock"


class EngineError(Exception):
    """A request failed, and the engine is as good as before. `code` is one of `providers.reasons.Reason`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def message(header: dict[str, Any], body: bytes = b"") -> bytes:
    """As it is sent."""
    encoded = json.dumps(header).encode()
    return _LENGTHS.pack(len(encoded), len(body)) + encoded + body


def read_message(stream: IO[bytes]) -> Message:
    """The next message. Raises EOFError where the other side is gone, in the middle of a message too."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        raise EOFError
    header_length, body_length = _LENGTHS.unpack(lengths)
    header, body = stream.read(header_length), stream.read(body_length)
    if len(header) < header_length or len(body) < body_length:
        raise EOFError
    return json.loads(header), body


def serve(load: Callable[[dict[str, Any]], Handler]) -> None:
    """Be an engine on stdin and stdout until stdin closes, or nobody has asked for `ENGINE_IDLE_SECONDS`.

    `load(options)` is called once and gives the function that answers requests. Either may raise EngineError. Any other
    error ends the process: what it left behind in the library is not known.
    """
    requests, answers = _own_pipes()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no audio or text on the disk
    with suppress(EOFError):
        options, _ = read_message(requests)
        try:
            handle = load(options)
        except EngineError as error:
            _write(answers, _error(error))
            return
        _write(answers, ({"ready": True}, b""))
        while select.select([requests], [], [], ENGINE_IDLE_SECONDS)[0]:
            request, _ = read_message(requests)
            _write(answers, _answer(handle, request))


def _write(answers: IO[bytes], answer: Message) -> None:
    answers.write(message(*answer))
    answers.flush()


def _error(error: EngineError) -> Message:
    return {"error": error.code, "message": str(error)}, b""


def _answer(handle: Handler, request: dict[str, Any]) -> Message:
    try:
        with ends_within(request["time_limit"]):
            return handle(request)
    except EngineError as error:
        return _error(error)


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take stdin and stdout away from the libraries: what these print goes to stderr, and they read nothing."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers
