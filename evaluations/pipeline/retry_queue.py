"""What a slice of work has still to call."""

import heapq
import math
import time
from collections import deque
from collections.abc import Iterable

from django.db.models import F

from evaluations.models import Result

# A worker that dies takes the samples it had taken up with it, and one of them may be why. Those that were taken up
# before are taken up in smaller groups, then alone, so that such a sample ends up failing by itself.
GROUP_SIZES = {1: 8}
SMALLEST = 8  # results taken up at a time: fewer would cost a statement for almost every call


class RetryQueue:
    """Results to be called, in the order given; those that failed come back when they are due.

    They are taken up a few at a time, which is committed before they are called: what is not committed does not
    outlive the worker.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._waiting: list[tuple[float, int, Result]] = [
            (0.0, number, result) for number, result in enumerate(results)
        ]  # a heap: due, order
        self._claimed: deque[Result] = deque()  # committed as taken up, not called yet
        self._in_flight: dict[int, Result] = {}  # called, and not known what became of them

    def __len__(self) -> int:
        """Results that are not called yet."""
        return len(self._waiting) + len(self._claimed)

    @property
    def seconds_to_next(self) -> float:
        """Until one is due; 0 where one is."""
        if self._claimed or not self._waiting:
            return 0.0
        return max(0.0, self._waiting[0][0] - time.monotonic())

    def _first_due(self) -> Result | None:
        """Of those that are not taken up."""
        due, _, result = self._waiting[0] if self._waiting else (math.inf, 0, None)
        return result if due <= time.monotonic() else None

    def next(self, slots: int) -> Result | None:
        """A result to be called now, at most `slots` at once. None where none is due, or one has to be called alone."""
        if not self._claimed:
            self._take_up(max(2 * slots, SMALLEST))
        if not self._claimed:
            return None
        result = self._claimed.popleft()
        self._in_flight[result.pk] = result
        return result

    def _take_up(self, size: int) -> None:
        first = self._first_due()
        if first is None or (first.attempts and self._in_flight):
            return
        if first.attempts:
            size = GROUP_SIZES.get(first.attempts, 1)
        while len(self._claimed) < size and (result := self._first_due()) and result.attempts == first.attempts:
            self._claimed.append(result)
            heapq.heappop(self._waiting)
        _count_attempt(self._claimed, 1)

    def ended(self, result: Result) -> None:
        """It is known what became of its call."""
        del self._in_flight[result.pk]

    def requeue(self, result: Result, pause: float) -> None:
        """To be called again, `pause` seconds from now at the earliest."""
        heapq.heappush(self._waiting, (time.monotonic() + pause, result.pk, result))

    def clear(self) -> None:
        """Nothing is to be called any more."""
        self._waiting.clear()
        self._claimed.clear()

    def release(self) -> None:
        """The work ends in good order: what was taken up and not called, or given up, is not counted."""
        _count_attempt([*self._claimed, *self._in_flight.values()], -1)
        self._claimed.clear()
        self._in_flight.clear()


def _count_attempt(results: Iterable[Result], change: int) -> None:
    if ids := [result.pk for result in results]:
        Result.objects.filter(pk__in=ids).pending().update(attempts=F("attempts") + change)
