"""Probes audio in processes of their own, so that a file which crashes or hangs FFmpeg is refused and nothing else."""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings

from datasets.errors import AudioReason, AudioRefused
from datasets.probe import Probe

PROBE_SECONDS = 240  # for the longest audio that is taken; a hanging decoder is killed then
COMMAND = (sys.executable, "-m", "datasets.probe")
ROOT = Path(__file__).resolve().parent.parent


class Prober:
    """One decoding process. It lives until it is closed, crashes, or its stdin ends with the process that made it."""

    def __init__(self, command: Sequence[str] = COMMAND, time_limit: float = PROBE_SECONDS) -> None:
        self.time_limit = time_limit
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the worker, which ends its work in order
            # Nothing secret where untrusted bytes are read; one thread, for the limit on memory.
            env={"PATH": os.environ.get("PATH", ""), "OPENBLAS_NUM_THREADS": "1"},
        )

    def ask(self, path: Path, max_seconds: float) -> dict[str, object] | None:
        """The answer of `datasets.probe.answer`; None where the process died. Raises AudioRefused after the time limit.

        A process that died or was killed gives no further answer: close it.
        """
        stdin, stdout = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        deadline = time.monotonic() + self.time_limit
        killer = threading.Timer(self.time_limit, self._process.kill)
        killer.start()
        try:
            request = json.dumps({"path": str(path), "max_seconds": max_seconds})
            stdin.write(request.encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            killer.cancel()
        if line.endswith(b"\n"):
            return cast(dict[str, object], json.loads(line))
        if time.monotonic() >= deadline:
            raise AudioRefused(
                AudioReason.TOO_SLOW, f"The file could not be decoded within {self.time_limit:g} seconds. Convert it."
            )
        return None

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Pool:
    """The probers of one process: as many as it has cores, each made when it is first needed."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.idle: queue.LifoQueue[Prober | None] = queue.LifoQueue()
        for _ in range(os.cpu_count() or 1):
            self.idle.put(None)

    def probe(self, path: Path, max_seconds: float) -> dict[str, object] | None:
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


_pool: _Pool | None = None
_pool_lock = threading.Lock()


def _current_pool() -> _Pool:
    """This process's pool; one that a fork left here belongs to the parent."""
    global _pool
    with _pool_lock:
        if _pool is None or _pool.pid != os.getpid():
            _pool = _Pool()
            atexit.register(_pool.close)
        return _pool


def probe_safely(path: Path) -> Probe:
    """What the file at `path` is. Callable from any thread. Raises AudioRefused."""
    max_seconds = settings.MAX_AUDIO_HOURS * 3600
    pool = _current_pool()
    # The process may have died of something else (no memory, an administrator): a second one convicts the file.
    answer = pool.probe(path, max_seconds) or pool.probe(path, max_seconds)
    if answer is None:
        raise AudioRefused(AudioReason.DAMAGED, "The file makes the decoder crash. Convert it, or leave it out.")
    if "probe" in answer:
        return Probe(**answer["probe"])  # type: ignore[arg-type]
    raise AudioRefused(AudioReason(str(answer["refused"])), str(answer["message"]))
