"""What happens beside the client: the runner tells the session of it.

Those of a response or an item that is over or gone are ignored, so that the runner need not wonder whether a message
crossed with a cancellation.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SilenceHeard:
    """No speech up to here, none going on. Audio older than the padding is let go: without this the buffer fills."""

    until_ms: float  # all ms: of the audio appended since the session's start


@dataclass(frozen=True)
class SpeechStarted:
    at_ms: float  # where the speech itself starts, without padding


@dataclass(frozen=True)
class SpeechStopped:
    at_ms: float  # where the silence that ends the turn has been heard: the end of the turn's audio


@dataclass(frozen=True)
class TranscriptionDelta:
    item_id: str
    content_index: int
    delta: str = field(repr=False)


@dataclass(frozen=True)
class Transcribed:
    """The whole text; the last word of a `Transcribe`, as is TranscriptionFailed."""

    item_id: str
    content_index: int
    text: str = field(repr=False)
    seconds: float  # of audio
    input_tokens: int | None = None  # None: the provider does not count tokens
    output_tokens: int | None = None


@dataclass(frozen=True)
class TranscriptionFailed:
    item_id: str
    content_index: int
    code: str
    message: str  # for the client: no audio, text or key in it


@dataclass(frozen=True)
class ChatText:
    response_id: str
    delta: str = field(repr=False)


@dataclass(frozen=True)
class SentenceStarted:
    """The audio that follows speaks this."""

    response_id: str
    text: str = field(
        repr=False
    )  # a slice of the chat text with its white space: all slices together, in order, are the whole


@dataclass(frozen=True)
class SpeechAudio:
    response_id: str
    audio: bytes = field(repr=False)  # in the response's output format, whole frames, at most 200 ms


@dataclass(frozen=True)
class ResponseUsage:
    """What the chat model counted; told as soon as it is known, so that a cancelled response shows it too."""

    response_id: str
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True)
class ResponseFinished:
    """All text is written and all audio told of. The last word of a `StartResponse`, as is ResponseFailed."""

    response_id: str
    incomplete: bool = False  # the chat model stopped at its output limit


@dataclass(frozen=True)
class ResponseFailed:
    response_id: str
    code: str
    message: str


@dataclass(frozen=True)
class RateLimit:
    name: Literal["requests", "tokens"]
    limit: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True)
class RateLimitsKnown:
    """As they are now; told to the client when the next response starts."""

    rate_limits: tuple[RateLimit, ...]


@dataclass(frozen=True)
class TimeUp:
    """The session ends by itself."""

    reason: Literal["idle", "expired", "restart"]


@dataclass(frozen=True)
class RunnerError:
    """Something else went wrong that the client must know of; the session goes on."""

    code: str
    message: str


RunnerEvent = (
    SilenceHeard
    | SpeechStarted
    | SpeechStopped
    | TranscriptionDelta
    | Transcribed
    | TranscriptionFailed
    | ChatText
    | SentenceStarted
    | SpeechAudio
    | ResponseUsage
    | ResponseFinished
    | ResponseFailed
    | RateLimitsKnown
    | TimeUp
    | RunnerError
)
