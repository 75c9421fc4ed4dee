"""The slots and start times that one worker or web process has leased from the database."""

import time
import uuid
from collections import deque

from providers.adapters.base import ProviderError
from providers.limits.allocation import HORIZON, Allocation, AllocationRequest, allocate, give_back
from providers.limits.circuit_breaker import Outcomes

TICK = 0.25  # seconds between two requests to the database: other holders may want slots, or the limits have changed
WANTS_MORE_TICK = 0.15  # ... while it has fewer slots than it wants
SHORT_TICK = 0.05  # ... while other holders are about to give slots back
STALE = 1.0  # seconds after which an unused start time expires: else many calls would begin at once


class SlotHolder:
    """Counts the calls of one holder against what it was allocated. Not thread-safe; only `allocate`, between
    `allocation_request` and `take`, may run in another thread.

    if holder.ready(wanted=20):
        holder.begin()
        ...
        holder.end(error)
    """

    def __init__(self, provider_id: int) -> None:
        self.provider_id = provider_id
        self.holder = uuid.uuid4()
        self.in_use = 0  # calls under way
        self.allocation = Allocation(slots=0, start_times=[])
        self._start_times: deque[float] = deque()  # by time.monotonic()
        self._asked_at = float("-inf")
        self._requested = 0
        self._leased = 0  # slots, by the lease
        self._usable: int | None = None  # calls that may be under way while a request to the database is pending
        self._opens_at = 0.0
        self._outcomes = Outcomes()

    # --- calls ------------------------------------------------------------------------------------

    def ready(self, wanted: int) -> bool:
        """Whether a call may begin now; asks the database if that is due. `wanted`: calls that would be under way if
        there were slots, including those that are. Raises ProviderError if the provider was deleted."""
        if self.is_due(wanted):
            self.ask(wanted)
        return self.has_room()

    def has_room(self) -> bool:
        """Whether a call may begin now, by the last allocation."""
        now = time.monotonic()
        while self._start_times and self._start_times[0] < now - STALE:
            self._start_times.popleft()
        slots = self.allocation.slots if self._usable is None else self._usable
        if self.in_use >= slots or self._must_report:
            return False
        return self.allocation.start_times is None or (bool(self._start_times) and self._start_times[0] <= now)

    def begin(self) -> None:
        """Count a call that begins. Only call it if `has_room()`."""
        self.in_use += 1
        if self.allocation.start_times is not None:
            self._start_times.popleft()

    def end(self, error: ProviderError | None = None, *, first: bool = True) -> None:
        """Count a call that has ended. `first`: False for a retry of a request that failed before."""
        self.drop()
        self._outcomes.add(error, first=first)

    def drop(self) -> None:
        """Free the slot of a call that was cancelled: it has no outcome."""
        self.in_use -= 1

    @property
    def wait(self) -> float:
        """Seconds until the next call may begin, by the last allocation."""
        now = time.monotonic()
        first = self._start_times[0] if self._start_times else now
        return max(0.0, self._opens_at - now, first - now)

    @property
    def seconds_to_look(self) -> float:
        """Seconds after which `ready` may change its answer without a call having ended."""
        return min(self._tick, self.wait) if self.wait else self._tick

    @property
    def _tick(self) -> float:
        if self.allocation.awaiting_slots or self._needs_start_times:
            return SHORT_TICK
        return WANTS_MORE_TICK if self.allocation.wants_more else TICK

    @property
    def _needs_start_times(self) -> bool:
        """Whether slots are free and only start times are lacking."""
        is_used_up = (
            self.allocation.start_times is not None and not self._start_times and self.in_use < self.allocation.slots
        )
        return is_used_up and self.wait <= HORIZON

    # --- asking -----------------------------------------------------------------------------------

    @property
    def _must_report(self) -> bool:
        """Whether unreported outcomes start a back-off or open the circuit: no call may begin before they are
        reported."""
        return self.allocation.until is None and self._outcomes.is_urgent(self.allocation.failures)

    def is_due(self, wanted: int) -> bool:
        """Whether a request to the database is due."""
        since = time.monotonic() - self._asked_at
        if since >= TICK or self._must_report:
            return True
        if wanted > max(self._requested, self.allocation.slots) and self.allocation.until is None:
            return True
        if since < SHORT_TICK:
            return False
        needed = max(self.in_use, min(wanted, self.allocation.slots))
        is_surplus = self._leased - needed > self._leased // 8
        return is_surplus or (wanted > self.in_use and since >= self._tick)

    def ask(self, wanted: int) -> None:
        self.take(allocate(self.provider_id, self.holder, self.allocation_request(wanted, wanted - self.in_use)))

    def allocation_request(self, wanted: int, start_times: int, spare: int = 0) -> AllocationRequest:
        """Make the next request, which holds and resets the outcomes. `start_times`: calls that would begin soon;
        unused start times are lost to all holders. `spare`: calls that may begin, if there are slots, before `take` is
        called; they are reported as under way."""
        spare = 0 if self._must_report else spare
        self._usable = max(self.in_use, min(self.in_use + spare, self.allocation.slots))
        has_enough = self._start_times and self._start_times[-1] > time.monotonic() + TICK
        start_times = 0 if has_enough else max(0, start_times - len(self._start_times))
        request = AllocationRequest(self._usable, wanted, start_times, self._outcomes)
        self._requested, self._outcomes = wanted, Outcomes()
        return request

    def take(self, allocation: Allocation) -> None:
        """Apply the response to the last request."""
        now = self._asked_at = time.monotonic()
        self._leased = max(self.in_use, self._usable or 0, allocation.slots)
        self.allocation, self._usable = allocation, None
        self._opens_at = now + allocation.wait
        self._start_times.extend(now + start for start in allocation.start_times or [])

    def close(self) -> None:
        """Delete the lease. Calls still under way are no longer counted."""
        self.in_use = 0
        if self.allocation.is_failing or self._outcomes.fault:
            self.ask(wanted=0)
        else:
            give_back(self.provider_id, self.holder)
