"""An engine that does what a request tells it to, bad things too. It speaks the engines' protocol.

Request `{"do": ...}`:
    answer      its process id, and whatever it was given as `echo`
    crash       dies as by a fault in a library
    raise       fails in a way that nobody foresaw
    hang        never answers
    refuse      says that the audio is unreadable
    chatter     prints on stdout, from Python and from C
    work        writes "begin" and "end" lines into the file `log`, `seconds` apart
    environment the names of its environment's variables

Option `idle_seconds`: how long it waits for a request.
"""

import os
import signal
import sys
import time
from pathlib import Path

from providers.engines import protocol


def load(options):
    protocol.ENGINE_IDLE_SECONDS = options.get("idle_seconds", protocol.ENGINE_IDLE_SECONDS)
    return handle


def handle(request):
    match request["do"]:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "raise":
            raise RuntimeError("nobody foresaw this")
        case "hang":
            Path(request["log"]).write_text(str(os.getpid()))
            time.sleep(1000)
        case "refuse":
            raise protocol.EngineError("audio_unreadable", "This is no audio.")
        case "chatter":
            sys.stdout.write("noise" * 100 + "\n")
            os.write(1, b"noise" * 100)
        case "work":
            _work(Path(request["log"]), request["seconds"])
        case "environment":
            return {"names": sorted(os.environ)}, b""
    return {"process": os.getpid(), "echo": request.get("echo")}, b""


def _work(log, seconds):
    with log.open("a", buffering=1) as lines:
        lines.write("begin\n")
        time.sleep(seconds)
        lines.write("end\n")


if __name__ == "__main__":
    protocol.serve(load)
