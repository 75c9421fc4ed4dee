"""What is asked of Gemini's voices, and the sound in their answers."""

import base64
import re
import struct
from typing import TYPE_CHECKING, Any

from providers.adapters.base import CapabilityNotSupported, ModelConfig, SpeechRequest
from providers.adapters.gemini.sdk import genai

if TYPE_CHECKING:
    from google.genai import types

DEFAULT_VOICE = "Kore"
_RATE = re.compile(r";\s*rate=(\d{4,6})\b")
_RAW = ("audio/l16", "audio/pcm")
_LONGEST_HEADER = 1 << 16
_UNKNOWN_SIZES = {0, 0x7FFFFFFF, 0xFFFFFFFF}  # of WAV files whose header was written before their sound


def problem_with_model(upstream_name: str, options: dict[str, Any]) -> str:
    if not isinstance(options.get("voice", ""), str):
        return 'The option voice is a name, such as {"voice": "Kore"}.'
    return ""


def speech_config(model: ModelConfig, request: SpeechRequest) -> "types.GenerateContentConfig":
    """Return the configuration of a request for speech. Raises CapabilityNotSupported."""
    if request.speed != 1.0:
        raise CapabilityNotSupported("Gemini's voices take no speed: leave it at 1, or ask for a pace in instructions.")
    voice = genai().types.PrebuiltVoiceConfig(voice_name=request.voice or model.options.get("voice", DEFAULT_VOICE))
    config: types.GenerateContentConfig = genai().types.GenerateContentConfig(
        response_modalities=["AUDIO"],
        speech_config=genai().types.SpeechConfig(voice_config=genai().types.VoiceConfig(prebuilt_voice_config=voice)),
        automatic_function_calling=genai().types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )
    return config


def spoken_text(request: SpeechRequest) -> str:
    """Return the prompt: the instructions, then the text."""
    manner = request.instructions.strip().rstrip(":")
    return f"{manner}:\n{request.text}" if manner else request.text


class SpeechReader:
    """Extracts 16-bit mono PCM from the pieces of a response, which are raw PCM or a WAV file cut anywhere.

    Raises ValueError for sound of another kind.
    """

    def __init__(self) -> None:
        self.sample_rate = 0  # Hz, known from the first sound on
        self._header = b""  # of a WAV file, until it is whole
        self._left: int | None = None  # bytes of the WAV file's sound; None: whatever comes

    def feed(self, answer: dict[str, Any]) -> bytes:
        """Return the audio in one piece of a response."""
        candidates = answer.get("candidates") or [{}]
        parts = (candidates[0].get("content") or {}).get("parts") or []
        blobs = [part["inlineData"] for part in parts if part.get("inlineData")]
        return b"".join(self._sound(blob.get("mimeType", ""), _decoded(blob.get("data", ""))) for blob in blobs)

    def _sound(self, mime_type: str, data: bytes) -> bytes:
        if self._header or data.startswith(b"RIFF"):
            self._header += data
            header = read_wav_header(self._header)
            if header is None:
                return b""
            rate, start, self._left = header
            self._set_rate(rate)
            data, self._header = self._header[start:], b""
        elif not self.sample_rate:
            self._set_rate(_rate(mime_type))
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data

    def _set_rate(self, rate: int) -> None:
        if self.sample_rate not in (0, rate):
            raise ValueError("the sampling rate changes")
        self.sample_rate = rate


def _decoded(data: str) -> bytes:
    return base64.b64decode(data.replace("-", "+").replace("_", "/"), validate=True)


def _rate(mime_type: str) -> int:
    """Return the sample rate (Hz) of raw audio by its MIME type."""
    name, found = mime_type.lower().split(";")[0].strip(), _RATE.search(mime_type)
    if name not in _RAW or found is None:
        raise ValueError("sound of an unknown type")
    return int(found[1])


def read_wav_header(data: bytes) -> tuple[int, int, int | None] | None:
    """Parse a WAV header: sample rate (Hz), offset of the audio, and its bytes (None: to the end). None if the header
    is incomplete so far."""
    at, rate = 12, 0
    while len(data) >= at + 8:
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data" and rate:
            return rate, at + 8, None if size in _UNKNOWN_SIZES else size
        if name == b"fmt ":
            if len(data) < at + 24:
                return None
            form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at + 8)
            if form not in (1, 0xFFFE) or channels != 1 or bits != 16:
                raise ValueError("not 16-bit mono PCM")
        at += 8 + size + size % 2
    if len(data) > _LONGEST_HEADER or at > _LONGEST_HEADER:
        raise ValueError("no WAV file")
    return None
