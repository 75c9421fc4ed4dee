"""The Gemini API on loopback, for the real SDK: Files, Batch, generateContent.

    with GeminiServer.start() as gemini:
        client = genai.Client(api_key=API_KEY, http_options=HttpOptions(base_url=gemini.base_url, api_version="v1beta"))
        gemini.fault("batch_create", "drop", effect=True, times=1)
        ...
        assert gemini.state()["files"] == []

Settings: see settings.Settings; faults: see faults.Fault. Where it runs: see tests.servers.stand_in.
"""

import hashlib

from tests.servers.gemini.answers import words_for
from tests.servers.gemini.app import App
from tests.servers.gemini.settings import API_KEY
from tests.servers.stand_in import StandIn

__all__ = ["API_KEY", "GeminiServer", "sha256_of", "words_for"]


def sha256_of(audio: bytes) -> str:
    return hashlib.sha256(audio).hexdigest()


class GeminiServer(StandIn):
    package = "tests.servers.gemini"
    make_app = App
    does_all_the_same = True  # as Google does

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, texts: dict[str, str]) -> None:
        """sha256 (hex) of an audio's bytes -> its text. Other audio is answered with `words_for(sha256)`."""
        self._tell({"answers": texts})

    def advance(self, seconds: float) -> None:
        """Puts the server's clock forward."""
        self._tell({"advance": seconds})
