"""A limit of calls a minute: each call has a time of its own from which on it may begin (GCRA without a burst)."""

from datetime import datetime, timedelta

from providers.models import Gate

BLOCK_SECONDS = 1.0  # of calls that a holder takes at once
HORIZON = 2.0  # nobody takes times that are further off: they would be lost with whoever goes away


def take_starts(gate: Gate, per_minute: int, wanted: int, now: datetime) -> list[float]:
    """Times at which up to `wanted` calls may begin, seconds from now, in order; they are nobody else's.

    Empty where the next free time is too far off: then `gate.next_start_at` says when.
    """
    apart = 60 / per_minute
    first = max(0.0, (gate.next_start_at - now).total_seconds()) if gate.next_start_at else 0.0
    if first > HORIZON:
        return []
    count = min(wanted, max(1, int(BLOCK_SECONDS / apart)))
    if count > 0:
        gate.next_start_at = now + timedelta(seconds=first + count * apart)
    return [first + number * apart for number in range(count)]
