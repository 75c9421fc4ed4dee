"""Shares the decoders of a process fairly between workspaces."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class _Turn:
    workspace_id: int
    is_short: bool
    has_begun: threading.Event = field(default_factory=threading.Event)


class FairTurns:
    """Gives out `count` places (at least two) to decode files of any number of workspaces.

    One place is reserved for short files. A workspace's long files get at most half of the places, even while the
    others are free, since a long file holds its place for minutes. The workspace with the fewest places comes next;
    among equals, the one that has waited longest.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._at_work: list[_Turn] = []
        self._waiting: list[_Turn] = []  # in the order in which they came
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, workspace_id: int, *, is_short: bool) -> Iterator[None]:
        """Wait for a place and hold it while the block runs."""
        turn = _Turn(workspace_id, is_short)
        with self._lock:
            self._waiting.append(turn)
            self._let_begin()
        try:
            turn.has_begun.wait()
            yield
        finally:
            with self._lock:
                (self._at_work if turn in self._at_work else self._waiting).remove(turn)
                self._let_begin()

    def _let_begin(self) -> None:
        while turn := self._next():
            self._waiting.remove(turn)
            self._at_work.append(turn)
            turn.has_begun.set()

    def _next(self) -> _Turn | None:
        """Return the waiting turn that may begin now; None where none may."""
        if len(self._at_work) == self._count:
            return None
        places = Counter(turn.workspace_id for turn in self._at_work)
        return min(
            (turn for turn in self._waiting if turn.is_short or self._has_place_for_long(turn.workspace_id)),
            key=lambda turn: places[turn.workspace_id],
            default=None,
        )

    def _has_place_for_long(self, workspace_id: int) -> bool:
        long = [turn.workspace_id for turn in self._at_work if not turn.is_short]
        return len(long) < self._count - 1 and long.count(workspace_id) < self._count // 2
