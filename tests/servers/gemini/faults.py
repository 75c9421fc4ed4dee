"""What the stand-in is told to do wrong, and to what."""

import random
from dataclasses import dataclass, field
from typing import Any

OPERATIONS = {
    "upload_start",
    "upload_chunk",
    "upload_query",
    "file_get",
    "file_list",
    "file_delete",
    "download",
    "batch_create",
    "batch_get",
    "batch_list",
    "batch_cancel",
    "batch_delete",
    "generate",
    "stream",
    "model_list",
    "model_get",
}
# What may be done wrong with a call, and with what becomes of its effect when `effect` is not given.
CALL_FAULTS = {
    "status": False,  # an error answer: `status`, `message`, `retry_after` in seconds
    "drop": False,  # the connection is closed without an answer
    "delay": True,  # `seconds` before anything happens
    "garbage": True,  # 200, and `message`; without one, text that is not JSON
    "empty": True,  # 200, and no body
    "cut": True,  # the answer stops in its middle
}
FILE_FATES = {"FAILED", "PROCESSING", "expire"}  # PROCESSING for ever; `expire` after `seconds`
# One line of a result file, or one direct answer.
ANSWER_FAULTS = {"error", "no_candidates", "blocked_prompt", "blocked_safety", "empty_text", "max_tokens"}
LINE_FAULTS = ANSWER_FAULTS | {"bad_json", "neither", "unknown_key", "missing_key", "twice", "missing"}
# After the first half of an answer in pieces; `end`: as if it were whole, but for the reason of the end.
PIECES_FAULTS = {"error", "garbage", "drop", "end", "hang"}
RESULTS_FAULTS = {"shuffled", "truncated"}  # both may be told for one file

# where -> what may happen there. "batch" takes any state's name (SUCCEEDED, FAILED, RUNNING, PAUSED, or one
# that does not exist); a state that is not an end lasts for `seconds`, or for ever.
_KINDS = {
    "file": FILE_FATES,
    "line": LINE_FAULTS,
    "answer": ANSWER_FAULTS,
    "pieces": PIECES_FAULTS,
    "results": RESULTS_FAULTS,
    "*": set(CALL_FAULTS),
    **{operation: set(CALL_FAULTS) for operation in OPERATIONS},
}


@dataclass
class Fault:
    """One thing that goes wrong, `times` times (None: always), after `skip` calls, with a `probability`."""

    where: str  # an operation, "*" for all of them, or "file", "batch", "line", "answer", "pieces", "results"
    what: str
    match: str = ""  # a part of the name, display name, model, or key
    keys: list[str] = field(default_factory=list)  # lines with exactly these keys
    indices: list[int] = field(default_factory=list)  # lines at these places, from 0
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    effect: bool | None = None  # is what was asked for done all the same?
    status: int = 503
    message: str = ""
    seconds: float | None = None
    retry_after: float | None = None  # seconds

    def __post_init__(self) -> None:
        if self.where != "batch" and self.what not in _KINDS.get(self.where, set()):
            raise ValueError(f"{self.where!r} has no fault {self.what!r}")

    @property
    def has_effect(self) -> bool:
        return CALL_FAULTS[self.what] if self.effect is None else self.effect

    def fits(self, subject: str, key: str | None, index: int | None) -> bool:
        if self.match not in subject:
            return False
        if self.keys and key not in self.keys:
            return False
        return not self.indices or index in self.indices


class Faults:
    """The faults that are still to happen, in the order in which they were told."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._faults: list[Fault] = []

    def add(self, fault: dict[str, Any]) -> None:
        self._faults.append(Fault(**fault))

    def clear(self) -> None:
        self._faults.clear()

    def shuffled(self, items: list[Any]) -> list[Any]:
        return self._random.sample(items, len(items))

    def take(
        self, *places: str, what: str = "", subject: str = "", key: str | None = None, index: int | None = None
    ) -> Fault | None:
        """The first fault that strikes now; it is used up by one."""
        for fault in self._faults:
            if fault.where not in places or (what and fault.what != what) or not fault.fits(subject, key, index):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.times == 0 or (fault.probability < 1 and self._random.random() >= fault.probability):
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None
