"""Usage records of calls: `reserve` writes one before the provider is called, `settle` completes it afterwards.

Both return after the commit, and may be called from any event loop of any thread. Each call is settled exactly once; if
its process dies, `usage.sweep` settles it as lost once its reservation has expired.
"""

import asyncio
import atexit
from collections.abc import Sequence
from weakref import WeakSet

from django.conf import settings

from gateway.usage import records
from gateway.usage.group_commit import Writer
from gateway.usage.types import Call, Outcome, Reservation, Settlement

__all__ = ["Call", "Outcome", "Reservation", "close", "reserve", "settle"]

_open_reservations: "WeakSet[Reservation]" = WeakSet()  # of this process; used in the writer's thread only


def _write(entries: Sequence[Call | Settlement]) -> list[records.Answer]:
    answers = records.write(entries)
    for entry, answer in zip(entries, answers, strict=True):
        if isinstance(entry, Settlement):
            _open_reservations.discard(entry.reservation)
        elif isinstance(answer, Reservation):
            _open_reservations.add(answer)
    return answers


writer = Writer(
    periodic=lambda: records.renew(_open_reservations),
    period=lambda: settings.USAGE_LEASE_SECONDS / 3,
)


async def reserve(call: Call) -> Reservation:
    """Write the usage record of a call that is about to be made. The caller keeps the reservation until it is settled:
    only live objects are renewed.

    Raises ApiError: 402 if a budget is used up, 409 if the request id is taken, 503 if the database does not answer.
    """
    answer = writer.submit(_write, call)
    try:
        reservation: Reservation = await asyncio.shield(answer)
    except asyncio.CancelledError:
        answer.add_done_callback(_settle_abandoned)
        raise
    return reservation


async def settle(reservation: Reservation, outcome: Outcome) -> None:
    """Complete the usage record of a call; does nothing if it is complete. Written even if this is cancelled, and
    repeated until the database answers."""
    await writer.submit(_write, Settlement(reservation, outcome), must=True)


def close() -> None:
    """Write what is still waiting, and end the writer's thread."""
    writer.close()


def _settle_abandoned(answer: "asyncio.Future[Reservation]") -> None:
    """Settle a reservation whose caller was cancelled before it got it: no provider was called."""
    if answer.cancelled() or answer.exception() is not None:
        return
    writer.submit(_write, Settlement(answer.result(), Outcome("cancelled")), must=True)


atexit.register(close)
