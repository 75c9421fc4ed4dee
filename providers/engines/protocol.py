"""How the site talks to an engine, and what every engine process does the same way.

A message is a header (JSON object) and a body (bytes), both preceded by their lengths. The site writes the engine's
options first and gets `{"ready": true}`; from then on each request gets one answer. An answer with `error` (a code of
`providers.reasons`) and `message` is a failure that the engine survived.

Engines import neither Django nor the site: this module and all that it imports are theirs as much as the site's.
"""

import json
import math
import os
import resource
import select
import signal
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

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


def write_message(stream: IO[bytes], header: dict[str, Any], body: bytes = b"") -> None:
    """Raises OSError where the other side is gone."""
    encoded = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(encoded), len(body)) + encoded + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """The next message; None where the other side is gone, in the middle of a message too."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header_length, body_length = _LENGTHS.unpack(lengths)
    header, body = stream.read(header_length), stream.read(body_length)
    if len(header) < header_length or len(body) < body_length:
        return None
    return json.loads(header), body


def serve(load: Callable[[dict[str, Any]], Handler]) -> None:
    """Be an engine on stdin and stdout until stdin closes, or nobody has asked for `ENGINE_IDLE_SECONDS`.

    `load(options)` is called once and gives the function that answers requests. Either may raise EngineError. Any other
    error ends the process: what it left behind in the library is not known.
    """
    requests, answers = _own_pipes()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no audio or text on the disk
    first = read_message(requests)
    if first is None:
        return
    try:
        handle = load(first[0])
    except EngineError as error:
        write_message(answers, {"error": error.code, "message": str(error)})
        return
    write_message(answers, {"ready": True})
    while select.select([requests], [], [], ENGINE_IDLE_SECONDS)[0]:
        request = read_message(requests)
        if request is None:
            return
        write_message(answers, *_answer(handle, request[0]))


def _answer(handle: Handler, request: dict[str, Any]) -> Message:
    """The handler's answer. Where it takes far too long the process ends: whoever asked may no longer be there to do
    it, and the library may be holding the interpreter."""
    signal.alarm(math.ceil(request["time_limit"]))
    try:
        return handle(request)
    except EngineError as error:
        return {"error": error.code, "message": str(error)}, b""
    finally:
        signal.alarm(0)


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
