"""The one transaction by which a holder of slots tells what it did and is told what it may do.

Times are the database's, so that clocks of machines may differ.
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

QUANTUM = timedelta(seconds=2)  # where there are fewer slots than holders, they take turns


def fair_shares(limit: int, leases: Sequence[SlotLease], now: datetime) -> dict[UUID, int]:
    """By holder: as many as it wants, and where that is too much in all, the same for all who want more.

    What does not divide goes first to whoever has got its first slot just now, then to those who have none.
    """

    def turn(lease: SlotLease) -> tuple[int, datetime, int]:
        fresh = lease.slots > 0 and now - lease.since < QUANTUM
        return (0 if fresh else 1 if lease.slots == 0 else 2), lease.since, lease.pk or 0

    shares = {lease.holder: 0 for lease in leases}
    wanted = {lease.holder: lease.wanted for lease in sorted(leases, key=turn)}
    while limit > 0 and (hungry := [holder for holder in wanted if wanted[holder] > shares[holder]]):
        each = max(1, limit // len(hungry))
        for holder in hungry:
            more = min(each, wanted[holder] - shares[holder], limit)
            shares[holder] += more
            limit -= more
    return shares


BLOCK_SECONDS = 1.0  # of calls that a holder takes at once
HORIZON = 2.0  # nobody takes times that are further off: they would be lost with whoever goes away


def take_start_times(throttle: ProviderThrottle, per_minute: int, wanted: int, now: datetime) -> list[float]:
    """Times at which up to `wanted` calls may begin, seconds from now, in order; they are nobody else's.

    Empty where the next free time is too far off: then `gate.next_start_at` says when.
    """
    apart = 60 / per_minute
    first = max(0.0, (throttle.next_start_at - now).total_seconds()) if throttle.next_start_at else 0.0
    if first > HORIZON:
        return []
    count = min(wanted, max(1, int(BLOCK_SECONDS / apart)))
    if count > 0:
        throttle.next_start_at = now + timedelta(seconds=first + count * apart)
    return [first + number * apart for number in range(count)]


LEASE = timedelta(seconds=15)  # after which slots of a holder that died are free
HALF_OPEN_SECONDS = 1.0  # before looking again what became of another holder's probe


@dataclass(frozen=True)
class AllocationRequest:
    """What a holder has to say. With neither calls nor wishes it gives back what it has."""

    in_use: int  # calls under way
    wanted: int  # calls that it would have under way, these included, had it the slots
    start_times: int = 0  # calls that it would begin within the next second, where there is a limit a minute
    outcomes: Outcomes = field(default_factory=Outcomes)


@dataclass(frozen=True)
class Allocation:
    """What a holder may do until it asks again."""

    slots: int  # calls that may be under way; where more are already, none may begin until they have ended
    start_times: list[float] | None  # seconds from now from which on each further call may begin; None: at any time
    awaiting_slots: bool = False  # others hold slots that are this holder's by right, and give them back soon
    wants_more: bool = False  # it would take more, were others to leave some
    contended: bool = False  # all holders together want more than there is
    wait: float = 0.0  # seconds before which no call can begin
    until: datetime | None = None  # where the gate is closed
    failures: int = 0  # in a row, of all holders
    is_failing: bool = False  # calls have failed again and again, and none has succeeded since
    reason: str = ""  # of a gate that is closed, or lets only a probe through
    message: str = ""


@transaction.atomic
def allocate(provider_id: int, holder: UUID, ask: AllocationRequest) -> Allocation:
    """Raises ProviderError where the provider was deleted."""
    throttle, now = _locked_throttle(provider_id)
    before = model_to_dict(throttle)
    note_outcomes(throttle, ask.outcomes, holder, now)
    others, mine = _leases(throttle, holder, now)
    had = mine.slots, mine.wanted
    grant = _grant(throttle, ask, mine, others, now)
    _save_lease(mine, had, ask, grant, now)
    if model_to_dict(throttle) != before:
        throttle.save()
    return grant


def give_back(provider_id: int, holder: UUID) -> None:
    """Let go of the slots of a holder that has nothing to say."""
    SlotLease.objects.filter(provider=provider_id, holder=holder).delete()


def reopen(provider: Provider) -> None:
    """Forget why calls were held back."""
    ProviderThrottle.objects.filter(pk=provider.pk).update(
        backoff_until=None, backoffs=0, failures=0, open_until=None, openings=0, half_open_by=None
    )


def _locked_throttle(provider_id: int) -> tuple[ProviderThrottle, datetime]:
    """The gate with its provider, locked until the end of the transaction, and the time."""
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
    """The live ones of others, and the holder's own."""
    leases = list(SlotLease.objects.filter(provider=throttle.pk))
    if expired := [lease.pk for lease in leases if lease.until <= now and lease.holder != holder]:
        SlotLease.objects.filter(pk__in=expired).delete()
    others = [lease for lease in leases if lease.holder != holder and lease.pk not in expired]
    own = [lease for lease in leases if lease.holder == holder]
    return others, own[0] if own else SlotLease(provider_id=throttle.pk, holder=holder, slots=0, wanted=0, since=now)


def _grant(
    throttle: ProviderThrottle, ask: AllocationRequest, mine: SlotLease, others: list[SlotLease], now: datetime
) -> Allocation:
    limit = throttle.provider.max_concurrency
    mine.wanted = min(ask.wanted, limit)
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
        if not ask.wanted or not is_half_open(
            throttle, mine.holder, {mine.holder, *(lease.holder for lease in others)}
        ):
            return Allocation(
                0, [], wait=HALF_OPEN_SECONDS, is_failing=True, reason=throttle.reason, message=throttle.message
            )
        share = 1
    else:
        share = fair_shares(limit, [mine, *others], now)[mine.holder]
    slots = min(share, free)
    start_times, wait = _starts(throttle, ask, slots, now)
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


def _starts(
    throttle: ProviderThrottle, ask: AllocationRequest, slots: int, now: datetime
) -> tuple[list[float] | None, float]:
    """Times for calls under a limit a minute, and how long to wait where there are none."""
    per_minute = throttle.provider.requests_per_minute
    if per_minute is None:
        return None, 0.0
    if not ask.start_times or not slots:
        return [], 0.0
    start_times = take_start_times(throttle, per_minute, ask.start_times, now)
    if start_times or throttle.next_start_at is None:
        return start_times, 0.0
    return [], max(0.0, (throttle.next_start_at - now).total_seconds())


def _save_lease(
    mine: SlotLease, had: tuple[int, int], ask: AllocationRequest, grant: Allocation, now: datetime
) -> None:
    if not ask.in_use and not ask.wanted:
        if mine.pk:
            mine.delete()
        return
    slots = max(ask.in_use, grant.slots)
    if mine.pk and had == (slots, mine.wanted) and mine.until > now + LEASE / 2:
        return
    if (mine.slots > 0) != (slots > 0):
        mine.since = now
    mine.slots, mine.until = slots, now + LEASE
    mine.save()
