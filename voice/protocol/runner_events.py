"""Events from the runner to the session.

Events of a response that has ended or an item that was deleted are ignored, so an event may cross with a cancellation.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SilenceHeard:
    """No speech was found up to here. Frees audio older than the padding; without this event the buffer fills."""

    until_ms: float  # all positions: ms of the audio appended since the session's start


@dataclass(frozen=True)
class SpeechStarted:
    at_ms: float  # the start of the speech, without padding


@dataclass(frozen=True)
class SpeechStopped:
    at_ms: float  # the end of the turn's audio, including the silence that ended it


@dataclass(frozen=True)
class TranscriptionDelta:
    item_id: str
    content_index: int
    delta: str = field(repr=False)


@dataclass(frozen=True)
class Transcribed:
    """The whole transcript. This or TranscriptionFailed ends a `Transcribe`."""

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
    message: str  # for the client; contains no audio, text or key


@dataclass(frozen=True)
class ChatText:
    response_id: str
    delta: str = field(repr=False)


@dataclass(frozen=True)
class SentenceStarted:
    """The following audio speaks `text`: the next slice of the chat text, white space included."""

    response_id: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class SpeechAudio:
    response_id: str
    audio: bytes = field(repr=False)  # in the response's output format, whole frames, at most 200 ms


@dataclass(frozen=True)
class ResponseUsage:
    """The chat model's token counts, reported as soon as they are known: a cancelled response shows them, too."""

    response_id: str
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True)
class ResponseFinished:
    """All text and audio was reported. This or ResponseFailed ends a `StartResponse`."""

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
    """The current rate limits; the client gets them when the next response is created."""

    rate_limits: tuple[RateLimit, ...]


@dataclass(frozen=True)
class TimeUp:
    """The session ends without the client asking for it."""

    reason: Literal["idle", "expired", "restart"]


@dataclass(frozen=True)
class RunnerError:
    """Another error that the client must be told; the session goes on."""

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
