"""Usage of the gateway: a call is reserved before its provider is asked, and settled when it is over.

Both are committed when they return. A call ends in exactly one settlement; where its process dies, the sweep gives it
up for lost once its reservation has expired. Works from any event loop of any thread.
"""

import asyncio
import atexit
from collections.abc import Sequence
from weakref import WeakSet

from django.conf import settings

from gateway.errors import ApiError
from gateway.usage import records
from gateway.usage.group_commit import Writer
from gateway.usage.types import Call, Outcome, Reservation, Settlement

__all__ = ["ApiError", "Call", "Outcome", "Reservation", "close", "reserve", "settle"]

_under_way: "WeakSet[Reservation]" = WeakSet()  # of this process; changed and read in the writer's thread alone


def _write(entries: Sequence[Call | Settlement]) -> list[records.Answer]:
    answers = records.write(entries)
    for entry, answer in zip(entries, answers, strict=True):
        if isinstance(entry, Settlement):
            _under_way.discard(entry.reservation)
        elif isinstance(answer, Reservation):
            _under_way.add(answer)
    return answers


writer = Writer(
    periodic=lambda: records.renew(_under_way),
    chore_every=lambda: settings.USAGE_LEASE_SECONDS / 3,
)


async def reserve(call: Call) -> Reservation:
    """Record a call that is about to be made. Keep what is returned until it is settled: a reservation that nobody
    holds any more is not renewed.

    Raises `ApiError`: 402 where a budget is used up, 409 where the request id is taken, 503 without a database.
    """
    answer = writer.submit(_write, call)
    try:
        reservation: Reservation = await asyncio.shield(answer)
    except asyncio.CancelledError:
        answer.add_done_callback(_give_back)
        raise
    return reservation


async def settle(reservation: Reservation, outcome: Outcome) -> None:
    """Record how a call ended; nothing where that is recorded already. Written even where this is cancelled, and
    tried until it is where the database does not answer."""
    await writer.submit(_write, Settlement(reservation, outcome), must=True)


def close() -> None:
    """Write what is not yet written."""
    writer.close()


def _give_back(answer: "asyncio.Future[Reservation]") -> None:
    """Nobody waits for this reservation any more: nothing was called."""
    if answer.cancelled() or answer.exception() is not None:
        return
    writer.submit(_write, Settlement(answer.result(), Outcome("cancelled")), must=True)


atexit.register(close)
