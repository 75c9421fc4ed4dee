"""Audio made on the spot, for tests: tones in every format that is taken, and in some that are not."""

import io
import math
import os
import tempfile
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np

# format -> (container, codec, rate in Hz that the codec can do)
FORMATS = {
    "wav": ("wav", "pcm_s16le", 16000),
    "mp3": ("mp3", "libmp3lame", 16000),
    "flac": ("flac", "flac", 16000),
    "m4a": ("mp4", "aac", 16000),
    "aac": ("adts", "aac", 16000),
    "ogg": ("ogg", "vorbis", 16000),  # FFmpeg's own encoder of it does stereo only
    "opus": ("ogg", "libopus", 48000),
    "webm": ("webm", "libopus", 48000),
    "aiff": ("aiff", "pcm_s16be", 16000),
    "caf": ("caf", "pcm_s16le", 16000),
    "w64": ("w64", "pcm_s16le", 16000),
    "mka": ("matroska", "pcm_s16le", 16000),
}


def tone(seconds: float, rate: int, freq: float) -> np.ndarray:
    """Half of full scale, with a swell twice a second so that it has louder and softer parts; int16."""
    t = np.arange(round(seconds * rate)) / rate
    return (16384 * np.sin(2 * math.pi * freq * t) * (0.6 + 0.4 * np.sin(4 * math.pi * t))).astype(np.int16)


def make_wav(seconds: float = 1.0, rate: int = 16000, channels: int = 1, freq: float = 440) -> bytes:
    """A whole WAV file, 16 bit."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(tone(seconds, rate, freq), channels).tobytes())
    return out.getvalue()


def encode(
    format: str,
    seconds: float = 1.0,
    *,
    rate: int | None = None,
    channels: int = 1,
    freq: float = 440,
    options: dict[str, str] | None = None,
) -> bytes:
    """A whole file of `format`, one of FORMATS; `options` are the muxer's."""
    container_name, codec, usual_rate = FORMATS[format]
    rate = rate or usual_rate
    channels = 2 if codec == "vorbis" else channels
    layout = {1: "mono", 2: "stereo"}[channels]
    pcm = np.repeat(tone(seconds, rate, freq), channels).reshape(1, -1)
    handle, name = tempfile.mkstemp()  # a real file: some muxers go back and rewrite
    os.close(handle)
    path = Path(name)
    with av.open(path, "w", format=container_name, options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate = rate
        context = stream.codec_context
        context.options = {"strict": "experimental"}
        resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    return data


def silence_in_flac(seconds: float, rate: int = 1000, layout: str = "mono") -> bytes:
    """A FLAC file of nothing: a few bytes a second."""
    out = io.BytesIO()
    block = 4608
    with av.open(out, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout=layout)
        nothing = np.zeros((1, block * stream.codec_context.layout.nb_channels), dtype=np.int16)
        for _ in range(round(seconds * rate / block) + 1):
            frame = av.AudioFrame.from_ndarray(nothing, format="s16", layout=layout)
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()
