"""How many of a provider's slots each holder should have."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from providers.models import SlotLease

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
