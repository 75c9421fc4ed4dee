"""Answers that come in pieces (streamGenerateContent)."""

from typing import Any

from providers.adapters.base import ProviderError
from providers.adapters.gemini.answers import finish_of, input_tokens, output_tokens
from providers.adapters.gemini.speech import SpeechReader
from providers.reasons import Reason


class StreamUsage:
    """The finish reason and token counts of a streamed response."""

    def __init__(self) -> None:
        self.finish = ""  # why the model stopped
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self._pieces = self._candidates = 0

    def count(self, piece: dict[str, Any]) -> None:
        """Take in one piece of the stream. Raises ProviderError if it says that the response is blocked."""
        self._pieces += 1
        if piece.get("candidates") or piece.get("promptFeedback"):  # the last piece may hold numbers alone
            self._candidates += 1
            self.finish = finish_of(piece) or self.finish
        read, written = input_tokens(piece), output_tokens(piece)
        self.input_tokens = self.input_tokens if read is None else read
        self.output_tokens = self.output_tokens if written is None else written

    @property
    def truncated(self) -> bool:
        return self.finish == "MAX_TOKENS"

    def check_whole(self) -> None:
        """Raise ProviderError if the stream ended without a candidate or without a finish reason."""
        if self._pieces and not self._candidates:
            raise ProviderError(Reason.NO_CANDIDATES, "The provider's answer holds no candidate.")
        if not self.finish:
            message = "The provider's answer stopped before its end."
            raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True)


def check_spoken(usage: StreamUsage, reader: SpeechReader) -> None:
    """Raise ProviderError if the speech is incomplete or missing."""
    usage.check_whole()
    if usage.truncated:
        raise ProviderError(Reason.CUT_OFF, "The speech was cut off at the model's output limit.")
    if not reader.sample_rate:
        raise ProviderError(Reason.EMPTY_OUTPUT, "The provider answered without sound.")
