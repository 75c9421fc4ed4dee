"""How the stand-in behaves where nothing goes wrong, and what goes wrong."""

from dataclasses import asdict, dataclass, field
from typing import Any

ALL_FORMATS = ["json", "text", "srt", "vtt", "verbose_json"]
JSON_ONLY = ["json", "text"]

# name -> the formats that it transcribes to. Names that are not here do everything, as self-hosted models do.
MODELS = {
    "gpt-transcribe": JSON_ONLY,
    "gpt-4o-transcribe": JSON_ONLY,
    "gpt-4o-mini-transcribe": JSON_ONLY,
    "gpt-4o-transcribe-diarize": [*JSON_ONLY, "diarized_json"],
    "whisper-1": ALL_FORMATS,
    "gpt-4o-mini-tts": [],
    "tts-1": [],
    "gpt-5-mini": [],
}


@dataclass
class Settings:
    valid_key: str = ""  # empty: any key, or none
    latency: float = 0.0  # seconds before each answer begins
    text: str = ""  # of each transcription; empty: words that depend on the audio alone
    texts: dict[str, str] = field(default_factory=dict)  # sha256 (hex) of an audio's bytes -> its text
    translation: str = "this is what was said"
    language: str = "english"
    seconds: float | None = None  # of each audio; None: as measured
    usage: str = "duration"  # of a transcription: "duration", "tokens", or "" for none
    chat_text: str = ""  # empty: the last message is said again
    parts: int = 5  # that a speech stream comes in; texts come word by word
    part_delay: float = 0.0  # seconds before each part but the first
    hold_after: int | None = None  # parts, after which streams wait to be released
    endless_wav: bool = True  # WAV headers without a length, as OpenAI streams them
    speech_rate: int = 24_000  # Hz
    seconds_a_character: float = 0.06  # of speech
    max_file_bytes: int = 25 * 1024 * 1024
    max_audio_seconds: float | None = None
    audio_formats: list[str] = field(
        default_factory=lambda: ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"]
    )
    models: dict[str, list[str]] = field(default_factory=lambda: dict(MODELS))
    only_known_models: bool = False  # others: 404
    keep_calls: int = 20_000  # that are remembered

    def update(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if name not in asdict(self):
                raise ValueError(f"there is no setting {name!r}")
            setattr(self, name, value)


OPERATIONS = {"transcriptions", "translations", "speech", "chat", "models"}
FAULTS = {
    "status",  # an error answer: `status`, `message`, `code`, `type`, `retry_after` in seconds, or a whole `body`
    "drop",  # the connection is closed without an answer
    "hang",  # no answer, ever
    "garbage",  # 200, and text that is not JSON
    "empty",  # 200, and no body
    "cut",  # the answer stops in its middle, before its announced length
    "error_body",  # 200, and an error in the body
    "die",  # streams: the connection is closed in the middle
    "end_early",  # streams: they end well, but without their last event
    "error_event",  # streams: an error in the middle, as an event
    "content_filter",  # chat: the answer was filtered
}


@dataclass
class Fault:
    """One thing that goes wrong, `times` times (None: always), after `skip` calls."""

    where: str  # an operation, or "*" for all of them
    what: str
    match: str = ""  # a part of the model's name
    times: int | None = None
    skip: int = 0
    status: int = 503
    message: str = "The server had an error while processing your request."
    code: str | None = None
    type: str = ""  # empty: the one that goes with the status
    retry_after: float | str | None = None
    body: str = ""

    def __post_init__(self) -> None:
        if self.where not in OPERATIONS | {"*"} or self.what not in FAULTS:
            raise ValueError(f"{self.where!r} has no fault {self.what!r}")

    def strikes(self, operation: str, model: str) -> bool:
        if self.where not in (operation, "*") or self.match not in model or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True
