"""Converts between the audio formats of the wire and samples, and between sample rates."""

import io
import wave

import av
import numpy as np

from voice.protocol.config import AudioFormat

Samples = np.ndarray[tuple[int], np.dtype[np.int16]]  # mono
Codes = np.ndarray[tuple[int], np.dtype[np.uint8]]

# ITU-T G.711. A code is a sign, three bits of a segment (each has steps twice as wide as the one before) and four bits
# of a step in it.
ULAW_BIAS = 132
ULAW_LOUDEST = 32_635


def _ulaw_levels() -> Samples:
    """Return the sample of each code, [256]."""
    codes = ~np.arange(256) & 0xFF
    magnitudes = (((codes & 0x0F) * 8 + ULAW_BIAS) << ((codes >> 4) & 7)) - ULAW_BIAS
    return np.where(codes & 0x80, -magnitudes, magnitudes).astype(np.int16)


def _alaw_levels() -> Samples:
    """Return the sample of each code, [256]."""
    codes = np.arange(256) ^ 0x55
    segments, steps = (codes >> 4) & 7, (codes & 0x0F) * 16
    magnitudes = np.where(segments == 0, steps + 8, (steps + 0x108) << np.maximum(segments - 1, 0))
    return np.where(codes & 0x80, magnitudes, -magnitudes).astype(np.int16)


def _ulaw_codes() -> Codes:
    """Return the code of each sample, indexed by the sample's bits as unsigned integer, [65536]."""
    samples = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(samples), ULAW_LOUDEST) + ULAW_BIAS
    segments = np.floor(np.log2(biased)).astype(np.int32) - 7
    codes = (segments << 4) | ((biased >> (segments + 3)) & 0x0F) | np.where(samples < 0, 0x80, 0)
    ulaw: Codes = (~codes & 0xFF).astype(np.uint8)
    return ulaw


def _alaw_codes() -> Codes:
    """Return the code of each sample, indexed by the sample's bits as unsigned integer, [65536]."""
    samples = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32)
    magnitudes = np.where(samples < 0, -samples - 1, samples)
    segments = np.maximum(np.floor(np.log2(np.maximum(magnitudes, 1))).astype(np.int32) - 7, 0)
    steps = (magnitudes >> np.maximum(segments + 3, 4)) & 0x0F
    alaw: Codes = (((segments << 4) | steps | np.where(samples < 0, 0, 0x80)) ^ 0x55).astype(np.uint8)
    return alaw


LEVELS = {AudioFormat.ULAW: _ulaw_levels(), AudioFormat.ALAW: _alaw_levels()}
CODES = {AudioFormat.ULAW: _ulaw_codes(), AudioFormat.ALAW: _alaw_codes()}


def decode(audio: bytes, audio_format: AudioFormat) -> Samples:
    """Decode `audio` at the format's sample rate; half a sample at its end is ignored."""
    if audio_format is AudioFormat.PCM16:
        return np.frombuffer(audio, "<i2", len(audio) // 2)
    return LEVELS[audio_format][np.frombuffer(audio, np.uint8)]


def encode(samples: Samples, audio_format: AudioFormat) -> bytes:
    if audio_format is AudioFormat.PCM16:
        return samples.astype("<i2", copy=False).tobytes()
    return CODES[audio_format][samples.view(np.uint16)].tobytes()


def seconds(audio: bytes, audio_format: AudioFormat) -> float:
    """Return the duration of `audio` in seconds."""
    return len(audio) / audio_format.frame_bytes / audio_format.sample_rate


class Resampler:
    """Resamples one stream, in pieces of any length."""

    def __init__(self, rate: int, to_rate: int) -> None:
        self._rate = rate
        self._same = rate == to_rate
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=to_rate)

    def push(self, samples: Samples) -> Samples:
        """Resample a piece. The output lags by less than a millisecond, which `flush` returns at the end."""
        if self._same or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return self._joined(self._resampler.resample(frame))

    def flush(self) -> Samples:
        """Return the rest at the stream's end; nothing may be pushed afterwards."""
        return np.zeros(0, np.int16) if self._same else self._joined(self._resampler.resample(None))

    @staticmethod
    def _joined(frames: list[av.AudioFrame]) -> Samples:
        return np.concatenate([np.zeros(0, np.int16), *(frame.to_ndarray()[0] for frame in frames)])


def wav(samples: Samples, rate: int) -> bytes:
    """Return a WAV file, 16 bit mono: models cannot recognise audio without a header."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2", copy=False).tobytes())
    return file.getvalue()
