"""One engine process, from the site's side."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from providers.adapters.base import ProviderError
from providers.engines.protocol import ENGINE_IDLE_SECONDS, Message, read_message, write_message
from providers.reasons import Reason

BASE_DIR = Path(__file__).resolve().parent.parent.parent
# An engine reads what strangers have uploaded: the site's secrets are not in its environment.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# Each engine has one core to itself.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

START_SECONDS = 60.0
GRACE_SECONDS = 5.0  # after which an engine ends itself, where the site has not ended it


@dataclass(frozen=True)
class EngineSpec:
    """Which engine: a module that calls `protocol.serve`, and the options that it is loaded with."""

    module: str
    options: tuple[tuple[str, Any], ...] = ()
    reusable: bool = True  # False: a new process for each request

    @classmethod
    def of(cls, module: str, options: dict[str, Any], *, reusable: bool = True) -> "EngineSpec":
        return cls(module, tuple(sorted(options.items())), reusable)


class Engine:
    """A running engine, used by one thread at a time; only `kill` may be called from another."""

    def __init__(self, spec: EngineSpec) -> None:
        """Raises ProviderError where no process can be started."""
        self.spec = spec
        self.is_loaded = False
        self._answered = False
        self._killed = False
        self._idle_since = 0.0
        try:
            self._process = _start(spec.module)
        except OSError as error:
            message = f"The engine could not be started ({error.strerror})."
            raise ProviderError(Reason.ENGINE_CRASHED, message, retryable=True) from error

    def load(self) -> None:
        """Raises ProviderError."""
        self._exchange(dict(self.spec.options), START_SECONDS)
        self.is_loaded = True

    def ask(self, request: dict[str, Any], time_limit: float) -> Message:
        """The engine's answer, within `time_limit` seconds. Raises ProviderError."""
        try:
            return self._exchange({**request, "time_limit": time_limit + GRACE_SECONDS}, time_limit)
        finally:
            self._idle_since = time.monotonic()

    @property
    def can_go_on(self) -> bool:
        """True where another request may follow: it answered the last one, if with an error."""
        return self.spec.reusable and self.is_loaded and self._answered and not self._killed

    @property
    def is_fresh(self) -> bool:
        """True where it has not been idle for so long that it may be about to end."""
        return time.monotonic() - self._idle_since < ENGINE_IDLE_SECONDS * 2 / 3

    def kill(self) -> None:
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End the process, whatever it does, and let go of its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            with suppress(BrokenPipeError):  # what was not written yet
                pipe.close()

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdin, self._process.stdout

    def _exchange(self, header: dict[str, Any], seconds: float) -> Message:
        requests, answers = self._pipes
        self._answered = False
        with _Alarm(seconds, self.kill) as alarm:
            try:
                write_message(requests, header)
                answer = read_message(answers)
            except BrokenPipeError:
                answer = None
        if alarm.rang:
            raise ProviderError(Reason.TIMEOUT, f"The engine did not answer within {seconds:.0f} s.", retryable=True)
        if answer is None:
            raise ProviderError(Reason.ENGINE_CRASHED, "The engine's process died on this.", retryable=True)
        self._answered = True
        if "error" in answer[0]:
            raise ProviderError(Reason(answer[0]["error"]), answer[0]["message"])
        return answer


def _start(module: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries print what they hear
        cwd=BASE_DIR,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | ONE_THREAD,
        start_new_session=True,  # Ctrl-C is for the site, which ends its engines itself
    )


class _Alarm:
    """Calls `action` in another thread where the block takes longer than `seconds`; never after the block."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self.rang = False
        self._action = action
        self._timer = threading.Timer(seconds, self._ring)

    def _ring(self) -> None:
        self.rang = True
        self._action()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._timer.join()
