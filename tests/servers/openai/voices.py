"""Speech that is real audio, if only a tone; and texts with times."""

import functools
import hashlib
import io
import struct
from typing import Any

import av
import numpy as np

WORDS = "quick brown fox jumps over a lazy dog while seven grey geese fly south along cold river".split()  # noqa: SIM905

MIME_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_CODECS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "aac": ("adts", "aac"), "flac": ("flac", "flac")}


def words_for(sha256: str) -> str:
    """A transcript of ten words that depends on the audio alone."""
    digest = hashlib.sha256(sha256.encode()).digest()
    return " ".join(WORDS[byte % len(WORDS)] for byte in digest[:10])


@functools.lru_cache(64)
def speech(seconds: float, encoding: str, rate: int, endless: bool) -> bytes:
    """A tone of that length."""
    count = round(seconds * rate)
    pcm = (8000 * np.sin(np.arange(count) * (2 * np.pi * 220 / rate))).astype(np.int16)
    if encoding == "pcm":
        return pcm.tobytes()
    if encoding == "wav":
        sizes = (0xFFFFFFFF, 0xFFFFFFFF) if endless else (36 + 2 * count, 2 * count)
        form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", sizes[1])
        return b"RIFF" + struct.pack("<I", sizes[0]) + b"WAVE" + form + pcm.tobytes()
    return _encode(pcm, encoding, rate)


def _encode(pcm: np.ndarray, encoding: str, rate: int) -> bytes:
    container_name, codec = _CODECS[encoding]
    out = io.BytesIO()
    with av.open(out, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, "mono", rate, frame_size=context.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return out.getvalue()


def word_times(text: str, seconds: float) -> list[dict[str, Any]]:
    """Each word for the same time, without pauses."""
    words = text.split()
    each = seconds / len(words) if words else 0.0
    return [
        {"word": word, "start": round(index * each, 3), "end": round((index + 1) * each, 3)}
        for index, word in enumerate(words)
    ]


def segments(text: str, seconds: float) -> list[dict[str, Any]]:
    """Five words each."""
    words = word_times(text, seconds)
    return [
        {
            "id": number,
            "seek": 0,
            "start": group[0]["start"],
            "end": group[-1]["end"],
            "text": " " + " ".join(word["word"] for word in group),
            "tokens": list(range(len(group))),
            "temperature": 0.0,
            "avg_logprob": -0.25,
            "compression_ratio": 1.1,
            "no_speech_prob": 0.01,
        }
        for number, group in enumerate(words[start : start + 5] for start in range(0, len(words), 5))
    ]


def subtitles(text: str, seconds: float, *, vtt: bool) -> str:
    point = "." if vtt else ","
    lines = ["WEBVTT", ""] if vtt else []
    for segment in segments(text, seconds):
        if not vtt:
            lines.append(str(segment["id"] + 1))
        lines += [f"{_clock(segment['start'], point)} --> {_clock(segment['end'], point)}", segment["text"].strip(), ""]
    return "\n".join(lines) + "\n"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"
