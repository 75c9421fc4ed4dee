"""Audio files as the recogniser wants them. Runs in an engine process, on audio that nobody vouches for."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from providers.engines.protocol import EngineError

Samples = npt.NDArray[np.int16]

RATE = 16_000
MIN_SECONDS = 0.1

# Without these a playlist makes FFmpeg read local files, and a session description makes it wait for the network.
FENCE = {
    "format_whitelist": "wav,mp3,flac,ogg,mov,matroska,aac,aiff,amr,caf,w64",
    "protocol_whitelist": "",
}

FRAME = RATE // 100
QUIET_PERCENTILE = 1
DIGITAL_SILENCE_DB = 65.0
ACTIVE_RMS = 2000.0
NOISE_BELOW_DB = 35.0
PADDING = RATE // 5


def decode(path: Path, max_seconds: float) -> Samples:
    """The first audio stream, mixed to mono at 16 kHz.

    Raises EngineError: `audio_unreadable`, or `audio_too_long` as soon as more than `max_seconds` are decoded.
    """
    try:
        samples = _decode(path, int(max_seconds * RATE))
    except EngineError:
        raise
    except Exception as error:  # damaged files raise anything, from ValueError to PermissionError
        raise EngineError("audio_unreadable", f"The audio could not be decoded ({type(error).__name__}).") from error
    if len(samples) < MIN_SECONDS * RATE:
        raise EngineError("audio_unreadable", f"Less than {MIN_SECONDS} s of audio could be decoded.")
    return samples


def _decode(path: Path, max_samples: int) -> Samples:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    blocks: list[Samples] = []
    decoded = good = bad = 0
    with path.open("rb") as file, av.open(file, "r", options=FENCE) as container:
        if not container.streams.audio:
            raise EngineError("audio_unreadable", "The file has no audio stream.")
        for packet in container.demux(container.streams.audio[0]):
            try:
                frames = packet.decode()
                good += 1
            except av.error.InvalidDataError:  # players skip a damaged packet, too
                frames = []
                bad += 1
            for frame in frames:
                blocks.extend(_samples(resampler.resample(frame)))
                decoded += frame.samples * RATE // frame.sample_rate
            if decoded > max_samples:
                raise EngineError("audio_too_long", f"The audio is longer than {max_samples / RATE:.0f} s.")
    if bad > good:
        raise EngineError("audio_unreadable", "Most of the audio is damaged.")
    blocks.extend(_samples(resampler.resample(None)))
    return np.concatenate(blocks) if blocks else np.empty(0, np.int16)


def _samples(frames: list[av.AudioFrame]) -> list[Samples]:
    return [frame.to_ndarray().reshape(-1).astype(np.int16, copy=False) for frame in frames]


def with_noise_floor(samples: Samples) -> Samples:
    """Speech with digital silence in it, as synthesised speech has, gets a level and a noise floor that the recogniser
    can bear; anything else is returned as it is. The same samples always give the same result."""
    levels = _frame_levels(samples)
    active = _active_rms(levels)
    quiet = max(float(np.percentile(levels, QUIET_PERCENTILE)), 1e-3)
    if active <= 0 or 20 * np.log10(active / quiet) <= DIGITAL_SILENCE_DB:
        return samples
    louder = np.pad(samples.astype(np.float64) * (ACTIVE_RMS / active), PADDING)
    noise = np.random.default_rng(0).normal(0, ACTIVE_RMS * 10 ** (-NOISE_BELOW_DB / 20), len(louder))
    return np.clip(louder + noise, -32768, 32767).astype(np.int16)


def _frame_levels(samples: Samples) -> npt.NDArray[np.float64]:
    """RMS of each frame of 10 ms; a rest shorter than a frame counts only where it is all there is."""
    whole = len(samples) // FRAME * FRAME
    frames = samples[:whole].reshape(-1, FRAME) if whole else samples.reshape(1, -1)
    levels: npt.NDArray[np.float64] = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    return levels


def _active_rms(levels: npt.NDArray[np.float64]) -> float:
    """Return the RMS of the frames within 30 dB of the loudest, which leaves out pauses."""
    active = levels[levels >= levels.max() * 10 ** (-30 / 20)]
    return float(np.sqrt(np.mean(active**2)))
