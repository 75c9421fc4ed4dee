"""A holder's share of what a provider takes: slots and times to begin, a block at a time from the database."""

import time
import uuid
from collections import deque

from providers.adapters.base import ProviderError
from providers.limits.allocation import HORIZON, Allocation, AllocationRequest, allocate, give_back
from providers.limits.circuit_breaker import Outcomes

TICK = 0.25  # seconds after which the share is asked for again: others want some, or the limits were changed
HUNGRY_TICK = 0.15  # where it would take more, were there any
SHORT_TICK = 0.05  # where slots are on their way from one holder to another
STALE = 1.0  # a time to begin that was not used for so long is lost, or many calls would begin at once


class SlotHolder:
    """What one holder may call, and calls. For one thread, but for `exchange`, which may be done in another.

    if share.ready(wanted=20):
        share.begin()
        ...
        share.end(error)
    """

    def __init__(self, provider_id: int) -> None:
        self.provider_id = provider_id
        self.holder = uuid.uuid4()
        self.in_use = 0  # calls under way
        self.grant = Allocation(slots=0, start_times=[])
        self._starts: deque[float] = deque()  # by time.monotonic()
        self._asked_at = float("-inf")
        self._asked_for = 0
        self._held = 0  # slots, by the lease
        self._usable: int | None = None  # calls that may be under way while the database is asked
        self._opens_at = 0.0
        self._outcomes = Outcomes()

    # --- calls ------------------------------------------------------------------------------------

    def ready(self, wanted: int) -> bool:
        """Whether a call may begin now; asks the database where that is due. `wanted`: calls that could be under way,
        those included that are. Raises ProviderError where the provider was deleted."""
        if self.is_due(wanted):
            self.ask(wanted)
        return self.has_room()

    def has_room(self) -> bool:
        """Whether a call may begin now, by what is known."""
        now = time.monotonic()
        while self._starts and self._starts[0] < now - STALE:
            self._starts.popleft()
        slots = self.grant.slots if self._usable is None else self._usable
        if self.in_use >= slots or self._must_tell:
            return False
        return self.grant.start_times is None or (bool(self._starts) and self._starts[0] <= now)

    def begin(self) -> None:
        """A call begins: only where there `has_room`."""
        self.in_use += 1
        if self.grant.start_times is not None:
            self._starts.popleft()

    def end(self, error: ProviderError | None = None, *, first: bool = True) -> None:
        """A call has ended. Not `first`: what was sent has failed before."""
        self.drop()
        self._outcomes.add(error, first=first)

    def drop(self) -> None:
        """A call was given up: nothing is known of the provider by it."""
        self.in_use -= 1

    @property
    def wait(self) -> float:
        """Seconds until a call may begin, as far as known."""
        now = time.monotonic()
        first = self._starts[0] if self._starts else now
        return max(0.0, self._opens_at - now, first - now)

    @property
    def seconds_to_look(self) -> float:
        """After which `ready` may say something else although no call has ended."""
        return min(self._tick, self.wait) if self.wait else self._tick

    @property
    def _tick(self) -> float:
        if self.grant.awaiting_slots or self._needs_starts:
            return SHORT_TICK
        return HUNGRY_TICK if self.grant.wants_more else TICK

    @property
    def _needs_starts(self) -> bool:
        """Whether slots are free, and it is only times to begin that are lacking."""
        is_used_up = self.grant.start_times is not None and not self._starts and self.in_use < self.grant.slots
        return is_used_up and self.wait <= HORIZON

    # --- asking -----------------------------------------------------------------------------------

    @property
    def _must_tell(self) -> bool:
        """Whether a call has ended in a way that closes the gate for everybody, this holder included."""
        return self.grant.until is None and self._outcomes.is_urgent(self.grant.failures)

    def is_due(self, wanted: int) -> bool:
        """Whether the database should be asked."""
        since = time.monotonic() - self._asked_at
        if since >= TICK or self._must_tell:
            return True
        if wanted > max(self._asked_for, self.grant.slots) and self.grant.until is None:
            return True
        if since < SHORT_TICK:
            return False
        needed = max(self.in_use, min(wanted, self.grant.slots))
        is_surplus = self._held - needed > self._held // 8
        return is_surplus or (wanted > self.in_use and since >= self._tick)

    def ask(self, wanted: int) -> None:
        self.take(allocate(self.provider_id, self.holder, self.question(wanted, wanted - self.in_use)))

    def question(self, wanted: int, start_times: int, spare: int = 0) -> AllocationRequest:
        """What is said to the database. `starts`: calls that would begin soon; under a limit a minute times that are
        taken and not used are lost to everybody. `spare`: calls that may begin until the answer is taken, where there
        are slots; they are told as if they were under way."""
        spare = 0 if self._must_tell else spare
        self._usable = max(self.in_use, min(self.in_use + spare, self.grant.slots))
        has_enough = self._starts and self._starts[-1] > time.monotonic() + TICK
        start_times = 0 if has_enough else max(0, start_times - len(self._starts))
        ask = AllocationRequest(self._usable, wanted, start_times, self._outcomes)
        self._asked_for, self._outcomes = wanted, Outcomes()
        return ask

    def take(self, grant: Allocation) -> None:
        """The database's answer."""
        now = self._asked_at = time.monotonic()
        self._held = max(self.in_use, self._usable or 0, grant.slots)
        self.grant, self._usable = grant, None
        self._opens_at = now + grant.wait
        self._starts.extend(now + start for start in grant.start_times or [])

    def close(self) -> None:
        """Give everything back. Calls that are still under way are given up."""
        self.in_use = 0
        if self.grant.is_failing or self._outcomes.fault:
            self.ask(wanted=0)
        else:
            give_back(self.provider_id, self.holder)
