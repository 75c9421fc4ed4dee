"""Answers in pieces (streamGenerateContent), and speech."""

import array
import asyncio
import base64
import copy
import io
import json
import math
import wave
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from tests.servers.gemini.errors import STATUSES
from tests.servers.gemini.faults import Fault
from tests.servers.gemini.settings import Settings
from tests.servers.http11 import BrokenOff, Response

SAMPLES_A_CHARACTER = 600  # 25 ms at 24 kHz
_SECOND = array.array("h", (round(8000 * math.sin(2 * math.pi * 440 * n / 24_000)) for n in range(24_000))).tobytes()


def speech_of(text: str) -> bytes:
    """16-bit mono PCM, by the text's length: a tone."""
    size = 2 * SAMPLES_A_CHARACTER * len(text)
    return (_SECOND * (size // len(_SECOND) + 1))[:size]


def wants_speech(request: dict[str, Any]) -> bool:
    return "AUDIO" in ((request.get("generationConfig") or {}).get("responseModalities") or [])


def text_of(request: dict[str, Any]) -> str:
    parts = [part for content in request.get("contents") or [] for part in content.get("parts") or []]
    return "".join(part.get("text", "") for part in parts)


class Streams:
    """Makes whole answers into speech, and into pieces; counts what became of the pieces."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.counts: Counter[str] = Counter()  # begun, ended, abandoned

    def speak(self, response: dict[str, Any], text: str) -> None:
        """Puts sound where the answer has text, unless that was emptied."""
        for candidate in response.get("candidates", []):
            parts = candidate["content"].get("parts", [])
            if any(part.get("text") for part in parts):
                candidate["content"]["parts"] = [self._blob(speech_of(text), header=True)]

    def _blob(self, pcm: bytes, *, header: bool) -> dict[str, Any]:
        mime_type = self._settings.speech_mime_type
        if mime_type == "audio/wav" and header:
            pcm = _wav(pcm, self._settings.speech_rate)
        return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(pcm).decode()}}

    def answer(self, whole: dict[str, Any], fault: Fault | None) -> Response:
        return Response(headers={"content-type": "text/event-stream"}, parts=self._send(self._cut(whole), fault))

    def _cut(self, whole: dict[str, Any]) -> list[dict[str, Any]]:
        """The numbers and the reason of the end are in the last piece alone; a blocked answer has only that one."""
        parts = (whole.get("candidates") or [{}])[0].get("content", {}).get("parts") or []
        if not parts or not any(part.get("text") or part.get("inlineData") for part in parts):
            return [whole]
        pieces = []
        for part in self._parts(parts[0]):
            piece = copy.deepcopy(whole)
            piece["candidates"][0]["content"]["parts"] = [part]
            pieces.append(piece)
        for piece in pieces[:-1]:
            del piece["candidates"][0]["finishReason"]
            del piece["usageMetadata"]
        return pieces

    def _parts(self, part: dict[str, Any]) -> list[dict[str, Any]]:
        if "text" in part:
            words = part["text"].split(" ")
            return [{"text": word if n == 0 else f" {word}"} for n, word in enumerate(words)]
        sound, count = base64.b64decode(part["inlineData"]["data"]), self._settings.stream_pieces
        size = len(sound) // count + 1  # in the middle of a sample, now and then
        return [self._blob(sound[start : start + size], header=False) for start in range(0, len(sound), size)]

    async def _send(self, pieces: list[dict[str, Any]], fault: Fault | None) -> AsyncGenerator[bytes, None]:
        self.counts["begun"] += 1
        ended = False
        try:
            for number, piece in enumerate(pieces):
                if number and self._settings.stream_seconds:
                    await asyncio.sleep(self._settings.stream_seconds)
                if fault and number >= len(pieces) // 2:
                    break
                yield _event(piece)
            if fault and fault.what == "hang":
                await asyncio.Event().wait()
            ended = True
            if fault and fault.what == "drop":
                raise BrokenOff
            if fault and fault.what != "end":
                yield _odd_piece(fault)
        finally:
            self.counts["ended" if ended else "abandoned"] += 1


def _odd_piece(fault: Fault) -> bytes:
    """What comes instead of the second half."""
    if fault.what == "error":
        message = fault.message or "It went wrong on the way."
        return _event({"error": {"code": fault.status, "message": message, "status": STATUSES[fault.status]}})
    return b'data: {"candidates": [{"content"\r\n\r\n'


def _event(piece: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(piece).encode() + b"\r\n\r\n"


def _wav(pcm: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()
