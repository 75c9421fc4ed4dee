"""Computes a waveform of a bounded number of bins while audio is decoded."""

from typing import Any

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

MAX_BINS = 1000
FIRST_BIN = 16  # samples in a bin at first; doubled whenever the bins are full
BLOCK = 32768  # samples that are gathered before they are processed, since frames are small

Samples = npt.NDArray[Any]


class Peaks:
    """Keeps the loudest sample of each bin. When the bins are full, neighbours are merged, to bound the memory."""

    def __init__(self) -> None:
        self._peaks = np.zeros(0, dtype=np.float32)
        self._bin = FIRST_BIN
        self._rest = np.zeros(0, dtype=np.float32)  # levels that do not fill a bin yet
        self._waiting: list[Samples] = []
        self._waiting_samples = 0

    def add(self, frame: AudioFrame) -> None:
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        if self._waiting and not _alike(samples, self._waiting[0]):
            self._fold()
        self._waiting.append(samples)
        self._waiting_samples += frame.samples
        if self._waiting_samples >= BLOCK:
            self._fold()

    def bins(self) -> bytes:
        """Return one unsigned byte for each bin, 255 is full scale; at most MAX_BINS."""
        if self._waiting:
            self._fold()
        peaks = np.append(self._peaks, self._rest.max()) if len(self._rest) else self._peaks
        return (np.clip(peaks[:MAX_BINS], 0, 1) * 255).round().astype(np.uint8).tobytes()

    def _fold(self) -> None:
        """Process the gathered samples into bins."""
        levels = np.concatenate([self._rest, _loudness(np.concatenate(self._waiting, axis=1))])
        self._waiting, self._waiting_samples = [], 0
        whole = len(levels) - len(levels) % self._bin
        self._rest = levels[whole:]
        self._peaks = np.concatenate([self._peaks, levels[:whole].reshape(-1, self._bin).max(axis=1)])
        while len(self._peaks) > MAX_BINS:
            self._merge()

    def _merge(self) -> None:
        if len(self._peaks) % 2:
            self._peaks = np.append(self._peaks, 0)
        self._peaks = self._peaks.reshape(-1, 2).max(axis=1)
        self._bin *= 2


def _alike(one: Samples, other: Samples) -> bool:
    return one.dtype == other.dtype and one.shape[0] == other.shape[0]


def _loudness(samples: Samples) -> npt.NDArray[np.float32]:
    """Return the level of the loudest channel at each sample, 1 is full scale. `samples`: channels x samples."""
    levels = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        levels = levels / np.float32(128) - np.float32(1)
    elif np.issubdtype(samples.dtype, np.integer):
        levels = levels / np.float32(-float(np.iinfo(samples.dtype).min))
    loudest: npt.NDArray[np.float32] = np.nan_to_num(np.abs(levels).max(axis=0))
    return loudest
