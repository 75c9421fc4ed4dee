"""The speaking engine on a machine where eSpeak NG is not installed."""

import sys

sys.modules["espeakng_loader"] = None  # type: ignore[assignment]  # so that its import fails

from providers.engines import espeak, protocol  # noqa: E402

if __name__ == "__main__":
    protocol.serve(espeak.load)
