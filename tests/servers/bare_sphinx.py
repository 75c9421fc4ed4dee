"""The recogniser's engine on a machine where PocketSphinx is not installed."""

import sys

sys.modules["pocketsphinx"] = None  # type: ignore[assignment]  # so that its import fails

from providers.engines import protocol, sphinx  # noqa: E402

if __name__ == "__main__":
    protocol.serve(sphinx.load)
