"""`python -m tests.servers.openai --port 0` prints its address, and serves until it is ended."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable

from tests.servers.openai.serving import serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON object, see settings.py")
    parser.add_argument("--faults", type=json.loads, default=[], help="JSON list, see settings.Fault")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
    options = parser.parse_args()

    def ready(port: int, stop: Callable[[], None]) -> None:
        print(f"http://127.0.0.1:{port}/v1", flush=True)  # noqa: T201
        signal.signal(signal.SIGTERM, lambda *_: stop())
        if options.with_parent:
            threading.Thread(target=lambda: (sys.stdin.read(), stop()), daemon=True).start()

    serve(options.settings, options.faults, options.port, ready)


if __name__ == "__main__":
    main()
