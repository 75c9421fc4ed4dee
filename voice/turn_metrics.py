"""Measures the steps of each turn, for the page of sessions."""

import time
from dataclasses import dataclass, field

from django.utils import timezone

from voice.models import RealtimeTurn
from voice.session_store import add_turn


def _since(begun: float | None) -> float | None:
    return None if begun is None else time.monotonic() - begun


@dataclass
class TurnLog:
    """The metrics of one turn, saved at its end. Times are of `time.monotonic()`, in seconds."""

    session_id: int
    begun: float = field(default_factory=time.monotonic)
    speech_ended: bool = False  # the turn began with the end of speech, not with a request for a response
    row: RealtimeTurn = field(init=False)
    _asked_chat: float | None = None
    _asked_voice: float | None = None

    def __post_init__(self) -> None:
        self.row = RealtimeTurn(session_id=self.session_id, started_at=timezone.now())

    def heard(self, model: str, seconds: float) -> None:
        """Note the end of speech, whose transcription starts."""
        self.speech_ended = True
        self.row.stt_model, self.row.heard_seconds = model, seconds

    def transcribed(self) -> None:
        self.row.transcribed_after = _since(self.begun)

    def asks_chat(self, model: str) -> None:
        self._asked_chat, self.row.chat_model = time.monotonic(), model

    def first_text(self) -> None:
        if self.row.first_text_after is None:
            self.row.first_text_after = _since(self._asked_chat)

    def asks_voice(self, model: str) -> None:
        if self._asked_voice is None:
            self._asked_voice, self.row.tts_model = time.monotonic(), model

    def spoke(self, seconds: float) -> None:
        """Note that `seconds` more of the answer's audio were sent."""
        if self.row.first_sound_after is None:
            self.row.first_sound_after = _since(self._asked_voice)
            self.row.delay = _since(self.begun) if self.speech_ended else None
        self.row.spoken_seconds = (self.row.spoken_seconds or 0) + seconds

    async def end(self, status: str, reason: str = "") -> None:
        """Save the turn. `status`: one of RealtimeTurn.Status."""
        self.row.status, self.row.reason = status, reason
        self.row.duration = time.monotonic() - self.begun
        await add_turn(self.row)
