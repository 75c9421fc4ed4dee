"""Probes audio in processes of their own, so that a file which crashes or hangs FFmpeg is refused and nothing else."""

import json
import math
import os
import queue
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings

from core.child_process import GRACE_SECONDS, ChildProcess, OnePerProcess, python
from datasets.errors import AudioReason, InvalidAudio
from datasets.fair_turns import FairTurns
from datasets.probe import Probe

SHORT_BYTES = 1024 * 1024  # a file of this size is decoded within seconds, whatever it holds
PROBE_SECONDS = 240.0  # for the longest audio that is taken; a hanging decoder is killed then
COMMAND = tuple(python("datasets.probe"))


class Prober:
    """One decoding process. It lives until it is closed, crashes, or its stdin ends with the process that made it."""

    def __init__(self, command: Sequence[str] = COMMAND, time_limit: float = PROBE_SECONDS) -> None:
        self.time_limit = time_limit
        self.child = ChildProcess(command)

    def ask(self, path: Path, max_seconds: float) -> dict[str, object] | None:
        """The answer of `datasets.probe.answer`; None where the process died. Raises InvalidAudio after the time limit.

        A process that died or was killed gives no further answer: close it.
        """
        request = {"path": str(path), "max_seconds": max_seconds, "time_limit": self.time_limit + GRACE_SECONDS}
        try:
            return self.child.ask(json.dumps(request).encode() + b"\n", _read_answer, self.time_limit)
        except EOFError:
            return None
        except TimeoutError:
            raise InvalidAudio(
                AudioReason.TOO_SLOW, f"The file could not be decoded within {self.time_limit:g} seconds. Convert it."
            ) from None

    def close(self) -> None:
        self.child.close()


def _read_answer(answers: BinaryIO) -> dict[str, object]:
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return cast(dict[str, object], json.loads(line))


class Pool:
    """The probers of one process: as many as it has cores, and two at least; each made when it is first needed."""

    def __init__(self) -> None:
        self.idle: queue.LifoQueue[Prober | None] = queue.LifoQueue()
        count = max(2, os.cpu_count() or 1)
        for _ in range(count):
            self.idle.put(None)
        self.turns = FairTurns(count)

    def probe(self, path: Path, max_seconds: float, workspace_id: int) -> dict[str, object] | None:
        """The answer of `Prober.ask`, when it is the workspace's turn."""
        with self.turn(workspace_id, path.stat().st_size):
            return self._ask(path, max_seconds)

    def turn(self, workspace_id: int, size: int) -> AbstractContextManager[None]:
        """The workspace's turn to decode a file of `size` bytes; waits for it."""
        return self.turns.turn(workspace_id, is_short=size <= SHORT_BYTES)

    def _ask(self, path: Path, max_seconds: float) -> dict[str, object] | None:
        prober = self.idle.get()
        healthy = None
        try:
            prober = prober or Prober()
            answer = prober.ask(path, max_seconds)
            healthy = prober if answer is not None else None
            return answer
        finally:
            if prober is not None and healthy is None:
                prober.close()
            self.idle.put(healthy)

    def close(self) -> None:
        while not self.idle.empty():
            prober = self.idle.get()
            if prober is not None:
                prober.close()


shared_pool = OnePerProcess(Pool)


def probe_safely(path: Path, *, workspace_id: int, max_seconds: float = math.inf) -> Probe:
    """What the file at `path` is; decoding ends at `max_seconds` of audio, or at MAX_AUDIO_HOURS where that is less.

    Callable from any thread, which waits until it is the workspace's turn. Raises InvalidAudio.
    """
    max_seconds = min(max_seconds, settings.MAX_AUDIO_HOURS * 3600)
    pool = shared_pool()
    # The process may have died of something else (no memory, an administrator): a second one convicts the file.
    answer = pool.probe(path, max_seconds, workspace_id) or pool.probe(path, max_seconds, workspace_id)
    if answer is None:
        raise InvalidAudio(AudioReason.DAMAGED, "The file makes the decoder crash. Convert it, or leave it out.")
    if "probe" in answer:
        return Probe(**answer["probe"])  # type: ignore[arg-type]
    raise InvalidAudio(AudioReason(str(answer["error"])), str(answer["message"]))
