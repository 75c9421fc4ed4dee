"""The allocation of slots and start times: in one transaction a holder reports the outcomes of its calls and is
allocated what it may do next.

All times are the database's: the clocks of the machines may differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.forms.models import model_to_dict

from providers.adapters.base import ProviderError
from providers.limits.circuit_breaker import Outcomes, is_half_open, note_outcomes
from providers.models import Provider, ProviderThrottle, SlotLease
from providers.reasons import Reason

QUANTUM = timedelta(seconds=2)  # how long a holder keeps its only slot where there are fewer slots than holders


def fair_shares(limit: int, leases: Sequence[SlotLease], now: datetime) -> dict[UUID, int]:
    """Return slots by holder: as many as each wants or, where the sum exceeds `limit`, equal shares for those who want
    more.

    The remainder of the division goes first to holders that got their first slot less than QUANTUM ago, then to those
    without any.
    """

    def turn(lease: SlotLease) -> tuple[int, datetime, int]:
        fresh = lease.slots > 0 and now - lease.since < QUANTUM
        return (0 if fresh else 1 if lease.slots == 0 else 2), lease.since, lease.pk or 0

    shares = {lease.holder: 0 for lease in leases}
    wanted = {lease.holder: lease.wanted for lease in sorted(leases, key=turn)}
    while limit > 0 and (unsatisfied := [holder for holder in wanted if wanted[holder] > shares[holder]]):
        each = max(1, limit // len(unsatisfied))
        for holder in unsatisfied:
            more = min(each, wanted[holder] - shares[holder], limit)
            shares[holder] += more
            limit -= more
    return shares


BLOCK_SECONDS = 1.0  # worth of start times that a holder takes at once
HORIZON = 2.0  # seconds; later start times are not given out: they would be lost if the holder died


def take_start_times(throttle: ProviderThrottle, per_minute: int, wanted: int, now: datetime) -> list[float]:
    """Reserve start times for up to `wanted` calls: seconds from now, in order.

    Empty if the next free time is beyond HORIZON; `throttle.next_start_at` says when it is.
    """
    apart = 60 / per_minute
    first = max(0.0, (throttle.next_start_at - now).total_seconds()) if throttle.next_start_at else 0.0
    if first > HORIZON:
        return []
    count = min(wanted, max(1, int(BLOCK_SECONDS / apart)))
    if count > 0:
        throttle.next_start_at = now + timedelta(seconds=first + count * apart)
    return [first + number * apart for number in range(count)]


LEASE = timedelta(seconds=15)  # after which the slots of a holder that died are free
HALF_OPEN_SECONDS = 1.0  # wait until the trial call of another holder is checked again


@dataclass(frozen=True)
class AllocationRequest:
    """What a holder reports and wants. With `in_use` and `wanted` both 0 its lease is deleted."""

    in_use: int  # calls under way
    wanted: int  # calls that it would have under way if it had the slots, including `in_use`
    start_times: int = 0  # calls that it would begin within the next second; only counts under a limit a minute
    outcomes: Outcomes = field(default_factory=Outcomes)


@dataclass(frozen=True)
class Allocation:
    """What a holder may do until it asks again."""

    slots: int  # calls that may be under way; no call may begin while more are
    start_times: list[float] | None  # seconds from now at which the next calls may begin; None: no limit a minute
    awaiting_slots: bool = False  # other holders still hold slots of this holder's share, and are to give them back
    wants_more: bool = False  # it got fewer slots than it wanted
    contended: bool = False  # all holders together want more slots than the limit
    wait: float = 0.0  # seconds before which no call can begin
    until: datetime | None = None  # end of the back-off or of the open circuit; None: calls may begin
    failures: int = 0  # consecutive failures, over all holders
    is_failing: bool = False  # the circuit is open or half-open
    reason: str = ""  # `Reason` of the back-off or the open or half-open circuit
    message: str = ""


@transaction.atomic
def allocate(provider_id: int, holder: UUID, request: AllocationRequest) -> Allocation:
    """Record the outcomes in `request`, update the lease of `holder`, and return what it may do. Raises ProviderError
    if the provider was deleted."""
    throttle, now = _locked_throttle(provider_id)
    before = model_to_dict(throttle)
    note_outcomes(throttle, request.outcomes, holder, now)
    others, mine = _leases(throttle, holder, now)
    had = mine.slots, mine.wanted
    allocation = _allocate(throttle, request, mine, others, now)
    _save_lease(mine, had, request, allocation, now)
    if model_to_dict(throttle) != before:
        throttle.save()
    return allocation


def give_back(provider_id: int, holder: UUID) -> None:
    """Delete the lease of a holder that has no outcomes to report."""
    SlotLease.objects.filter(provider=provider_id, holder=holder).delete()


def reopen(provider: Provider) -> None:
    """End the back-off and close the circuit: calls may begin at once."""
    ProviderThrottle.objects.filter(pk=provider.pk).update(
        backoff_until=None, backoffs=0, failures=0, open_until=None, openings=0, half_open_by=None
    )


def _locked_throttle(provider_id: int) -> tuple[ProviderThrottle, datetime]:
    """Return the throttle, locked until the end of the transaction, with its provider; and the database's time."""
    throttles: Any = (
        ProviderThrottle.objects.filter(pk=provider_id).select_for_update(of=("self",)).select_related("provider")
    )
    throttles = throttles.annotate(now=Now())
    throttle = throttles.first()
    if throttle is None:
        if not Provider.objects.filter(pk=provider_id).exists():
            raise ProviderError(Reason.MODEL_REMOVED, "The provider was deleted.")
        ProviderThrottle.objects.get_or_create(pk=provider_id)
        throttle = throttles.get()
    return throttle, throttle.now


def _leases(throttle: ProviderThrottle, holder: UUID, now: datetime) -> tuple[list[SlotLease], SlotLease]:
    """Return the live leases of other holders, and that of `holder` (a new one if it has none). Deletes expired
    ones."""
    leases = list(SlotLease.objects.filter(provider=throttle.pk))
    if expired := [lease.pk for lease in leases if lease.until <= now and lease.holder != holder]:
        SlotLease.objects.filter(pk__in=expired).delete()
    others = [lease for lease in leases if lease.holder != holder and lease.pk not in expired]
    own = [lease for lease in leases if lease.holder == holder]
    return others, own[0] if own else SlotLease(provider_id=throttle.pk, holder=holder, slots=0, wanted=0, since=now)


def _allocate(
    throttle: ProviderThrottle, request: AllocationRequest, mine: SlotLease, others: list[SlotLease], now: datetime
) -> Allocation:
    limit = throttle.provider.max_concurrency
    mine.wanted = min(request.wanted, limit)
    if (end := throttle.closed_until(now)) is not None:
        return Allocation(
            0,
            [],
            wait=(end - now).total_seconds(),
            until=end,
            is_failing=throttle.openings > 0,
            reason=throttle.reason,
            message=throttle.message,
        )
    free = max(0, limit - sum(lease.slots for lease in others))
    if throttle.openings:
        if not request.wanted or not is_half_open(
            throttle, mine.holder, {mine.holder, *(lease.holder for lease in others)}
        ):
            return Allocation(
                0, [], wait=HALF_OPEN_SECONDS, is_failing=True, reason=throttle.reason, message=throttle.message
            )
        share = 1
    else:
        share = fair_shares(limit, [mine, *others], now)[mine.holder]
    slots = min(share, free)
    start_times, wait = _start_times(throttle, request, slots, now)
    return Allocation(
        slots,
        start_times,
        awaiting_slots=slots < share,
        wants_more=slots < mine.wanted and not throttle.openings,
        contended=mine.wanted + sum(lease.wanted for lease in others) > limit,
        wait=wait,
        failures=throttle.failures,
        is_failing=throttle.openings > 0,
    )


def _start_times(
    throttle: ProviderThrottle, request: AllocationRequest, slots: int, now: datetime
) -> tuple[list[float] | None, float]:
    """Return start times under a limit a minute (None: no limit), and the seconds until the next one if there are
    none."""
    per_minute = throttle.provider.requests_per_minute
    if per_minute is None:
        return None, 0.0
    if not request.start_times or not slots:
        return [], 0.0
    start_times = take_start_times(throttle, per_minute, request.start_times, now)
    if start_times or throttle.next_start_at is None:
        return start_times, 0.0
    return [], max(0.0, (throttle.next_start_at - now).total_seconds())


def _save_lease(
    mine: SlotLease, had: tuple[int, int], request: AllocationRequest, allocation: Allocation, now: datetime
) -> None:
    if not request.in_use and not request.wanted:
        if mine.pk:
            mine.delete()
        return
    slots = max(request.in_use, allocation.slots)
    if mine.pk and had == (slots, mine.wanted) and mine.until > now + LEASE / 2:
        return
    if (mine.slots > 0) != (slots > 0):
        mine.since = now
    mine.slots, mine.until = slots, now + LEASE
    mine.save()
