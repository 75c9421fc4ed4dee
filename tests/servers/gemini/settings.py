"""How the stand-in behaves where nothing goes wrong."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

API_KEY = "stand-in-key"
HOUR = 3600.0

MODELS = {  # name -> may it be used in batches?
    "gemini-3.8-flash": True,
    "gemini-2.5-flash": True,
    "gemini-2.5-pro": True,
    "gemini-3.5-transcribe": False,
    "gemini-3.8-flash-tts": False,
}


@dataclass
class Settings:
    api_key: str = API_KEY
    latency_seconds: float = 0.0  # of each call
    generate_seconds: float = 0.0  # on top, of each direct answer
    missing_file_status: int = 403  # 403 as Google's, or 404
    file_processing_seconds: float = 0.0
    file_lifetime_seconds: float = 48 * HOUR
    max_file_bytes: int = 2 * 1024**3
    max_project_bytes: int = 20 * 1024**3
    refused_mime_types: list[str] = field(
        default_factory=lambda: ["audio/mp4", "audio/m4a", "audio/x-m4a", "audio/webm", "video/webm"]
    )
    result_files_can_be_deleted: bool = True  # at Google's their names are too long for it: 400
    batch_pending_seconds: float = 0.0
    batch_running_seconds: float = 0.0
    batch_cancel_seconds: float = 0.0
    batch_listed_after_seconds: float = 0.0  # a new batch is not in the list at once
    batch_lifetime_seconds: float = 48 * HOUR  # pending or running for longer: EXPIRED
    max_concurrent_batches: int = 100
    max_enqueued_tokens: int | None = None  # for each model
    quota_retry_seconds: float = 30.0
    max_request_bytes: int = 20 * 1024**2
    thoughts_tokens: int = 0  # of each answer
    stream_pieces: int = 4  # of speech; text comes word by word
    stream_seconds: float = 0.0  # between two pieces
    speech_mime_type: str = "audio/L16;codec=pcm;rate=24000"  # or audio/wav, with its header
    speech_rate: int = 24_000  # of WAV
    models: dict[str, bool] = field(default_factory=lambda: dict(MODELS))
    seed: int = 1

    def update(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if name not in asdict(self):
                raise ValueError(f"there is no setting {name!r}")
            setattr(self, name, value)


class Clock:
    """Now, in seconds since 1970; a test may put it forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}Z"
