"""Leases of database rows: one worker at a time works on a row, as long as it renews its lease.

Leased rows have the fields `lease_token` and `lease_until`. A lease lasts SHARD_LEASE_SECONDS. After its expiry its
worker still holds it until another worker claims the row.
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

NOTICE_SECONDS = 5.0  # seconds within which a heartbeat notices that its lease is lost, such as by a cancelled run
FREE = Q(lease_until=None) | Q(lease_until__lt=Now())  # rows that may be claimed: never claimed, released or expired

M = TypeVar("M", bound=Model)


class LeaseLost(Exception):  # noqa: N818
    """This worker no longer holds the rows: the work was cancelled, or another worker has claimed them. It must not
    commit anything more."""


def lease_end() -> datetime:
    """Return when a lease expires that is claimed or renewed now."""
    return timezone.now() + timedelta(seconds=settings.SHARD_LEASE_SECONDS)


def claim(free: "QuerySet[M]", token: UUID | None = None, **changes: Any) -> UUID | None:
    """Lease those of the `free` rows that are still free, by `token` or a new one, and apply `changes` to them.

    Returns the token, or None if other workers claimed all of them first. The caller commits before it works on them.
    """
    token = token or uuid4()
    return token if free.update(lease_token=token, lease_until=lease_end(), **changes) else None


class Lease(Generic[M]):
    """The lease of a worker, by its token. `rows`: the rows that may be leased at all, such as those of unfinished
    work."""

    def __init__(self, rows: "QuerySet[M]", token: UUID) -> None:
        self.rows = rows
        self.token = token

    def held(self) -> "QuerySet[M]":
        return self.rows.filter(lease_token=self.token, lease_until__isnull=False)

    def update(self, **changes: Any) -> bool:
        """Change the leased rows. Returns False, without a change, if the lease is lost."""
        return bool(self.held().update(**changes))

    def renew(self, **changes: Any) -> bool:
        """Extend the lease. Returns False if it is lost: the work was cancelled, or the rows were claimed by
        another."""
        return self.update(lease_until=lease_end(), **changes)

    def release(self, **changes: Any) -> bool:
        """End the lease, so that the rows are free. Returns False if it is lost."""
        return self.update(lease_token=None, lease_until=None, **changes)


class LeaseHeartbeat:
    """Renews a lease in a thread, at least every third of its duration."""

    def __init__(self, lease: Lease[Any]) -> None:
        self._lease = lease
        self._lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def check(self) -> None:
        """Raise LeaseLost if the lease could not be renewed."""
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
            # Also if the database did not answer: the lease expires, and another worker may claim the rows.
            if not self._done.is_set():
                self._lost.set()
            connection.close()


@contextmanager
def renewed(lease: Lease[Any]) -> Iterator[LeaseHeartbeat]:
    """Renew `lease` by a heartbeat until exit."""
    heartbeat = LeaseHeartbeat(lease)
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()
