"""Silero's model in a process of its own: beside an event loop, its many small steps would wait for the interpreter's
lock, and the event loop for them.

The process keeps nothing: each request holds the memories of its streams, and the answer holds them renewed. It ends
with whoever started it. A request is the number of streams, how many frames each has, memories and frames; an answer
the memories and the probabilities of all frames.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import IO, Any

import numpy as np

from core.child_process import ROOT, ChildProcess, python
from voice.audio.silero import FRAME, HIDDEN, Floats, Memory, silero

PATIENCE = 30.0  # seconds to wait for an answer, including the start of the process
PAUSE = 1.0  # seconds to wait after a failed start

Streams = Sequence[tuple[Floats, Memory]]


class SileroProcess:
    """`Silero` in a child process, which starts with the first request. For one thread at a time."""

    def __init__(self) -> None:
        self._child: ChildProcess | None = None

    def probabilities(self, streams: Streams) -> list[list[float]]:
        """As `Silero.probabilities`. Restarts a process that has died; raises OSError or EOFError if that fails."""
        is_proven = self._child is not None
        try:
            return self._ask(streams)
        except (OSError, EOFError):
            if is_proven:
                return self._ask(streams)
            time.sleep(PAUSE)
            raise

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _ask(self, streams: Streams) -> list[list[float]]:
        if self._child is None:
            self._child = ChildProcess(python(__spec__.name), ROOT)
        try:
            memories, found = self._child.ask(_request(streams), partial(_read_answer, streams), PATIENCE)
        except BaseException:
            self.close()
            raise
        answers = []
        for (frames, memory), renewed in zip(streams, memories, strict=True):
            memory.hidden, memory.cell = renewed
            answers.append(found[: len(frames)])
            del found[: len(frames)]
        return answers


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until their stream ends."""
    model = silero()
    while streams := _read_streams(requests):
        found = model.probabilities(streams)
        answers.write(_memories(streams))
        answers.write(np.concatenate([np.array(each, np.float32) for each in found]).tobytes())
        answers.flush()


def _request(streams: Streams) -> bytes:
    lengths = np.array([len(streams), *(len(frames) for frames, _ in streams)], np.uint32)
    frames = np.concatenate([frames for frames, _ in streams])
    return lengths.tobytes() + _memories(streams) + frames.tobytes()


def _read_answer(streams: Streams, source: IO[bytes]) -> "tuple[np.ndarray[Any, Any], list[float]]":
    """Read the memories and the probabilities of all frames. Raises EOFError."""
    memories = _read(source, np.float32, (len(streams), 2, HIDDEN))
    return memories, _read(source, np.float32, (sum(len(frames) for frames, _ in streams),)).tolist()


def _read_streams(source: IO[bytes]) -> list[tuple[Floats, Memory]]:
    """Read one request; empty at the stream's end."""
    try:
        (count,) = _read(source, np.uint32, (1,))
    except EOFError:
        return []
    lengths = _read(source, np.uint32, (int(count),))
    memories = _read(source, np.float32, (int(count), 2, HIDDEN))
    frames = np.split(_read(source, np.float32, (int(lengths.sum()), FRAME)), np.cumsum(lengths)[:-1])
    return [(each, Memory(*memory)) for each, memory in zip(frames, memories, strict=True)]


def _memories(streams: Streams) -> bytes:
    return np.stack([[memory.hidden, memory.cell] for _, memory in streams]).tobytes()


def _read(source: IO[bytes], kind: type[np.generic], shape: tuple[int, ...]) -> "np.ndarray[Any, Any]":
    """Read an array. Raises EOFError if the stream ends before."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return np.frombuffer(data, kind).reshape(shape)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
