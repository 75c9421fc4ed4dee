"""Probes audio in child processes, so that a file that crashes or hangs FFmpeg is refused and does no other harm."""

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

SHORT_BYTES = 1024 * 1024  # a file up to this size is decoded within seconds
PROBE_SECONDS = 240.0  # to probe one file; then the process is killed
COMMAND = tuple(python("datasets.probe"))


class Prober:
    """One decoding process. It lives until it is closed, crashes, or its stdin ends with the process that made it."""

    def __init__(self, command: Sequence[str] = COMMAND, time_limit: float = PROBE_SECONDS) -> None:
        self.time_limit = time_limit
        self.child = ChildProcess(command)

    def ask(self, path: Path, max_seconds: float) -> dict[str, object] | None:
        """Return the answer of `datasets.probe.answer`; None where the process died.

        Raises InvalidAudio after the time limit. The process is dead then, as after None: close the prober.
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


class ProberPool:
    """Holds the probers of one process: one for each core, at least two; each is started when first needed."""

    def __init__(self) -> None:
        self.idle: queue.LifoQueue[Prober | None] = queue.LifoQueue()
        count = max(2, os.cpu_count() or 1)
        for _ in range(count):
            self.idle.put(None)
        self.turns = FairTurns(count)

    def probe(self, path: Path, max_seconds: float, workspace_id: int) -> dict[str, object] | None:
        """Wait for the workspace's turn and return the answer of `Prober.ask`."""
        with self.turn(workspace_id, path.stat().st_size):
            return self._ask(path, max_seconds)

    def turn(self, workspace_id: int, size: int) -> AbstractContextManager[None]:
        """Wait for the workspace's turn to decode a file of `size` bytes, and hold it while the block runs."""
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


shared_pool = OnePerProcess(ProberPool)


def probe_safely(path: Path, *, workspace_id: int, max_seconds: float = math.inf) -> Probe:
    """Probe the file at `path`, up to `max_seconds` of audio and never more than MAX_AUDIO_HOURS. Raises InvalidAudio.

    Any thread may call it; it waits for the workspace's turn.
    """
    max_seconds = min(max_seconds, settings.MAX_AUDIO_HOURS * 3600)
    pool = shared_pool()
    # A process may die for another reason (no memory, an administrator): the file is refused only after two deaths.
    answer = pool.probe(path, max_seconds, workspace_id) or pool.probe(path, max_seconds, workspace_id)
    if answer is None:
        raise InvalidAudio(AudioReason.DAMAGED, "The file makes the decoder crash. Convert it, or leave it out.")
    if "probe" in answer:
        return Probe(**answer["probe"])  # type: ignore[arg-type]
    raise InvalidAudio(AudioReason(str(answer["error"])), str(answer["message"]))
