"""One engine process, from the site's side."""

import time
from dataclasses import dataclass
from typing import Any

from core.child_process import GRACE_SECONDS, ChildProcess, python
from providers.adapters.base import ProviderError
from providers.engines.protocol import ENGINE_IDLE_SECONDS, Message, message, read_message
from providers.reasons import Reason

START_SECONDS = 60.0


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
    """A running engine process. Not thread-safe, except `kill`."""

    def __init__(self, spec: EngineSpec) -> None:
        """Start the process. Raises ProviderError if that fails."""
        self.spec = spec
        self.is_loaded = False
        self._answered = False
        self._killed = False
        self._idle_since = 0.0
        try:
            self._child = ChildProcess(python(spec.module))
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
        """Whether another request may follow: the engine has answered the last one, possibly with an error."""
        return self.spec.reusable and self.is_loaded and self._answered and not self._killed

    @property
    def is_fresh(self) -> bool:
        """Whether it has been idle for so short that it is not about to end by itself."""
        return time.monotonic() - self._idle_since < ENGINE_IDLE_SECONDS * 2 / 3

    def kill(self) -> None:
        self._killed = True
        self._child.kill()

    def close(self) -> None:
        self._child.close()

    def _exchange(self, header: dict[str, Any], seconds: float) -> Message:
        self._answered = False
        try:
            answer = self._child.ask(message(header), read_message, seconds)
        except TimeoutError:
            detail = f"The engine did not answer within {seconds:.0f} s."
            raise ProviderError(Reason.TIMEOUT, detail, retryable=True) from None
        except EOFError:
            raise ProviderError(Reason.ENGINE_CRASHED, "The engine's process died on this.", retryable=True) from None
        self._answered = True
        if "error" in answer[0]:
            raise ProviderError(Reason(answer[0]["error"]), answer[0]["message"])
        return answer
