"""Who works on rows: one worker at a time, for as long as it renews its lease.

Rows that are leased have the fields `lease_token` and `lease_until`. A lease is SHARD_LEASE_SECONDS long. One that has
run out is still its worker's, until another one claims the row.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

NOTICE_SECONDS = 5.0  # how soon a heartbeat notices that its lease is lost, such as by a cancelled run
FREE = Q(lease_until=None) | Q(lease_until__lt=Now())  # held by nobody: never claimed, released, or its worker is gone

M = TypeVar("M", bound=Model)


class LeaseLost(Exception):  # noqa: N818
    """The rows are no longer this worker's: the work was cancelled, or another worker has taken over. Whatever was not
    committed is not this worker's to do."""


def lease_end() -> datetime:
    """Until when what is claimed or renewed now is held."""
    return timezone.now() + timedelta(seconds=settings.SHARD_LEASE_SECONDS)


def claim(free: "QuerySet[M]", token: UUID | None = None, **changes: Any) -> UUID | None:
    """Hold those of the `free` rows that still are, by a new token or by `token`, and make `changes` to them.

    The token where there were any; None where others were faster. Commit it before any risky work.
    """
    token = token or uuid4()
    return token if free.update(lease_token=token, lease_until=lease_end(), **changes) else None


class Lease(Generic[M]):
    """A worker's hold, by its token, on those of `rows` that it has claimed. `rows` are those that may be held at all:
    what has ended is nobody's."""

    def __init__(self, rows: "QuerySet[M]", token: UUID) -> None:
        self.rows = rows
        self.token = token

    def held(self) -> "QuerySet[M]":
        return self.rows.filter(lease_token=self.token, lease_until__isnull=False)

    def update(self, **changes: Any) -> bool:
        """True where rows were still held, and are changed. False where the lease was lost: nothing is changed."""
        return bool(self.held().update(**changes))

    def renew(self, **changes: Any) -> bool:
        """True where rows were still held, and are for another lease. False where it was lost: cancelled, or taken."""
        return self.update(lease_until=lease_end(), **changes)

    def release(self, **changes: Any) -> bool:
        """True where rows were held until now, and are free for the next worker. False where it was lost."""
        return self.update(lease_token=None, lease_until=None, **changes)


class LeaseHeartbeat:
    """Renews a lease in a thread, every third of its length at the latest."""

    def __init__(self, lease: Lease[Any]) -> None:
        self._lease = lease
        self._lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def check(self) -> None:
        """Raises LeaseLost where it could not be renewed."""
        if self._lost.is_set():
            raise LeaseLost

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            period = min(NOTICE_SECONDS, settings.SHARD_LEASE_SECONDS / 3)
            while not self._done.wait(period) and self._lease.renew():
                pass
        finally:
            # Also where the database did not answer: the lease runs out, and somebody else takes it.
            if not self._done.is_set():
                self._lost.set()
            connection.close()


@contextmanager
def renewed(lease: Lease[Any]) -> Iterator[LeaseHeartbeat]:
    """Inside, `lease` is renewed as long as it can be."""
    heartbeat = LeaseHeartbeat(lease)
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()
