"""The results that a worker still has to call during its slice of work."""

import heapq
import math
import time
from collections import deque
from collections.abc import Iterable

from django.db.models import F

from evaluations.models import Result

# A sample may crash the worker that holds it. Results that were claimed when a worker died are claimed again in smaller
# groups, then alone, so that such a sample fails by itself.
GROUP_SIZES = {1: 8}  # by the number of earlier attempts; 1 for any other
SMALLEST = 8  # results claimed at a time: fewer would cost an UPDATE for almost every call


class RetryQueue:
    """Yields results in the order given; a failed one is requeued and becomes due after its pause.

    Results are claimed a few at a time: their `attempts` are counted and committed before they are called, so that the
    count survives a worker that dies.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._waiting: list[tuple[float, int, Result]] = [
            (0.0, number, result) for number, result in enumerate(results)
        ]  # a heap: due (time.monotonic()), order
        self._claimed: deque[Result] = deque()  # their attempt is committed; not called yet
        self._in_flight: dict[int, Result] = {}  # called, without an outcome yet; by id

    def __len__(self) -> int:
        """Counts the results that wait for a call."""
        return len(self._waiting) + len(self._claimed)

    @property
    def seconds_until_due(self) -> float:
        """Seconds until a result is due; 0 where one is, or none is left."""
        if self._claimed or not self._waiting:
            return 0.0
        return max(0.0, self._waiting[0][0] - time.monotonic())

    def _first_due(self) -> Result | None:
        """Return the first result that is due and not claimed; None where there is none."""
        due, _, result = self._waiting[0] if self._waiting else (math.inf, 0, None)
        return result if due <= time.monotonic() else None

    def claim_next(self, slots: int) -> Result | None:
        """Return a result to be called now; `slots` calls may run at once.

        None where no result is due, or the next one has to wait until those in flight have ended.
        """
        if not self._claimed:
            self._claim_group(max(2 * slots, SMALLEST))
        if not self._claimed:
            return None
        result = self._claimed.popleft()
        self._in_flight[result.pk] = result
        return result

    def _claim_group(self, size: int) -> None:
        """Claim up to `size` due results with equally many attempts; a result that was attempted before is claimed only
        while nothing is in flight."""
        first = self._first_due()
        if first is None or (first.attempts and self._in_flight):
            return
        if first.attempts:
            size = GROUP_SIZES.get(first.attempts, 1)
        while len(self._claimed) < size and (result := self._first_due()) and result.attempts == first.attempts:
            self._claimed.append(result)
            heapq.heappop(self._waiting)
        _count_attempt(self._claimed, 1)

    def mark_done(self, result: Result) -> None:
        """Take a result out of those in flight: its call has an outcome."""
        del self._in_flight[result.pk]

    def requeue(self, result: Result, pause: float) -> None:
        """Make a result due again in `pause` seconds."""
        heapq.heappush(self._waiting, (time.monotonic() + pause, result.pk, result))

    def clear(self) -> None:
        """Drop every result that was not called yet."""
        self._waiting.clear()
        self._claimed.clear()

    def release_claimed(self) -> None:
        """Take back the attempt of every result without an outcome: the worker ends its slice in good order."""
        _count_attempt([*self._claimed, *self._in_flight.values()], -1)
        self._claimed.clear()
        self._in_flight.clear()


def _count_attempt(results: Iterable[Result], change: int) -> None:
    if ids := [result.pk for result in results]:
        Result.objects.filter(pk__in=ids).pending().update(attempts=F("attempts") + change)
