"""What a model says about an audio: texts that the test has set, or words made from the audio's hash."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any

from tests.servers.gemini.errors import GoogleError, missing_file
from tests.servers.gemini.faults import Fault
from tests.servers.gemini.files import Files
from tests.servers.gemini.settings import Settings

_WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grain", "heron"]
_WORDS += ["inlet", "jetty", "kayak", "larch", "maple", "north", "ocean", "pearl"]


def words_for(sha256: str) -> str:
    """Six words that depend on nothing but the hash."""
    return " ".join(_WORDS[int(sha256[place], 16)] for place in range(6))


@dataclass
class Heard:
    """What a request holds."""

    sha256: str
    audio_bytes: int
    text_bytes: int

    @property
    def tokens(self) -> int:
        return self.audio_tokens + self.text_tokens

    @property
    def audio_tokens(self) -> int:
        return max(1, self.audio_bytes // 1000) if self.audio_bytes else 0  # 32 a second of 16 kHz PCM

    @property
    def text_tokens(self) -> int:
        return self.text_bytes // 4


class Answers:
    def __init__(self, settings: Settings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self.texts: dict[str, str] = {}  # sha256 of the audio -> text
        self._serial = 0

    def hear(self, request: dict[str, Any], moment: float) -> Heard:
        """Raises GoogleError for a request that Google would refuse. `moment`: when its files must be there."""
        parts = [part for content in request.get("contents") or [] for part in content.get("parts") or []]
        if not parts:
            raise GoogleError(400, "* GenerateContentRequest.contents: contents is not specified\n")
        audio = [self._audio(part, moment) for part in parts if "text" not in part]
        text = "".join(part["text"] for part in parts if "text" in part)
        sha256 = audio[0][0] if audio else hashlib.sha256(text.encode()).hexdigest()
        return Heard(sha256, sum(size for _, size in audio), len(text.encode()))

    def _audio(self, part: dict[str, Any], moment: float) -> tuple[str, int]:
        """-> sha256, bytes"""
        inline = part.get("inlineData") or part.get("inline_data")
        if inline:
            self._check_mime_type(inline.get("mimeType") or inline.get("mime_type") or "")
            try:
                data = base64.b64decode(inline["data"].replace("-", "+").replace("_", "/") + "==")
            except (binascii.Error, KeyError):
                raise GoogleError(400, "Invalid value at 'contents[0].parts[0].inline_data.data'") from None
            return hashlib.sha256(data).hexdigest(), len(data)
        reference = part.get("fileData") or part.get("file_data") or {}
        uri = reference.get("fileUri") or reference.get("file_uri") or ""
        self._check_mime_type(reference.get("mimeType") or reference.get("mime_type") or "audio/wav")
        file_id = uri.rpartition("files/")[2]
        stored = self._files.at(file_id, moment)
        if stored is None:
            raise missing_file(file_id)
        if stored.state(moment) != "ACTIVE":
            raise GoogleError(
                400,
                f"The File {file_id} is not in an ACTIVE state and usage is not allowed.",
                status="FAILED_PRECONDITION",
            )
        return stored.sha256, stored.size

    def _check_mime_type(self, mime_type: str) -> None:
        if not mime_type or mime_type in self._settings.refused_mime_types:
            raise GoogleError(400, f"Unsupported MIME type: {mime_type}")

    def response(self, model: str, heard: Heard, fault: Fault | None = None) -> dict[str, Any]:
        """A GenerateContentResponse; raises GoogleError where the fault is an error."""
        what = fault.what if fault else ""
        if fault and what == "error":
            raise GoogleError(fault.status, fault.message or "The model is overloaded. Please try again later.")
        text = self.texts.get(heard.sha256) or words_for(heard.sha256)
        finish_reason = "STOP"
        if what == "empty_text":
            text = ""
        elif what == "max_tokens":
            text, finish_reason = text[: len(text) // 2], "MAX_TOKENS"
        elif what == "blocked_safety":
            text, finish_reason = "", "SAFETY"
        self._serial += 1
        response: dict[str, Any] = {
            "candidates": [self._candidate(text, finish_reason)],
            "usageMetadata": self._usage(heard, text),
            "modelVersion": model,
            "responseId": f"response-{self._serial}",
        }
        if what in ("no_candidates", "blocked_prompt"):
            del response["candidates"]
        if what == "blocked_prompt":
            response["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT"}
        return response

    @staticmethod
    def _candidate(text: str, finish_reason: str) -> dict[str, Any]:
        content: dict[str, Any] = {"role": "model"}
        if finish_reason != "SAFETY":
            content["parts"] = [{"text": text}]
        return {"content": content, "finishReason": finish_reason, "index": 0}

    def _usage(self, heard: Heard, text: str) -> dict[str, Any]:
        said = len(text.split())
        thoughts = self._settings.thoughts_tokens
        usage: dict[str, Any] = {
            "promptTokenCount": heard.tokens,
            "candidatesTokenCount": said,
            "totalTokenCount": heard.tokens + said + thoughts,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": heard.text_tokens},
                {"modality": "AUDIO", "tokenCount": heard.audio_tokens},
            ],
        }
        if thoughts:
            usage["thoughtsTokenCount"] = thoughts
        return usage
