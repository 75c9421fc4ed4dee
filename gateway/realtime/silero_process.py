"""Silero's model in a process of its own: beside an event loop, its many small steps would wait for the interpreter's
lock, and the event loop for them.

The process keeps nothing: each request holds the memories of its streams, and the answer holds them renewed. It ends
with whoever started it. A request is the number of streams, how many frames each has, memories and frames; an answer
the memories and the probabilities of all frames.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from gateway.realtime.silero import FRAME, HIDDEN, Floats, Memory, silero

BASE_DIR = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a frame is too little work to be shared

Streams = Sequence[tuple[Floats, Memory]]


class SileroProcess:
    """`Silero`, elsewhere. For one thread at a time."""

    def __init__(self) -> None:
        self._process = _start()

    def probabilities(self, streams: Streams) -> list[list[float]]:
        """As `Silero.probabilities`. Raises EOFError where the process dies of this; where it had died before, another
        one is asked."""
        try:
            return self._ask(streams)
        except (OSError, EOFError):
            self.close()
            self._process = _start()
            return self._ask(streams)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, streams: Streams) -> list[list[float]]:
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        _write_streams(self._process.stdin, streams)
        memories = _read(self._process.stdout, np.float32, (len(streams), 2, HIDDEN))
        found = _read(self._process.stdout, np.float32, (sum(len(frames) for frames, _ in streams),)).tolist()
        answers = []
        for (frames, memory), renewed in zip(streams, memories, strict=True):
            memory.hidden, memory.cell = renewed
            answers.append(found[: len(frames)])
            del found[: len(frames)]
        return answers


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the requests end."""
    model = silero()
    while streams := _read_streams(requests):
        found = model.probabilities(streams)
        answers.write(_memories(streams))
        answers.write(np.concatenate([np.array(each, np.float32) for each in found]).tobytes())
        answers.flush()


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  (only ever our own command line)
        [sys.executable, "-m", __spec__.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=BASE_DIR,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | ONE_THREAD,
        start_new_session=True,  # Ctrl-C is for the site
    )


def _write_streams(out: IO[bytes], streams: Streams) -> None:
    lengths = np.array([len(streams), *(len(frames) for frames, _ in streams)], np.uint32)
    frames = np.concatenate([frames for frames, _ in streams])
    out.write(lengths.tobytes() + _memories(streams) + frames.tobytes())
    out.flush()


def _read_streams(source: IO[bytes]) -> list[tuple[Floats, Memory]]:
    """Empty where there are no more."""
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
    """Raises EOFError where there is not so much."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return np.frombuffer(data, kind).reshape(shape)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
