"""Rate limit of API keys, in calls a minute, shared by all processes on all machines: a token bucket in two levels.

A key's row (`RateBucket`) fills evenly at the limit, up to a minute's worth. Each process moves about a second's worth
at once into a local bucket, so that the row is written about once a second and not with every call.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from gateway.models import RateBucket

SHORTEST_WAIT = 1.0  # seconds before a process reads an empty row again


@dataclass(frozen=True, slots=True)
class Need:
    """One call by a key with a limit of `limit` calls a minute."""

    api_key_id: int
    limit: int


@dataclass(slots=True)
class LocalBucket:
    """The calls that this process has taken from a key's row and not used yet."""

    calls: int = 0
    empty_until: float = 0.0  # by time.monotonic(); until then the row is not read again


class LocalBuckets:
    """The local buckets of all keys. Thread-safe."""

    def __init__(self) -> None:
        self._by_key: dict[int, LocalBucket] = {}
        self._lock = threading.Lock()

    def spend(self, api_key_id: int) -> float | None:
        """Use one call. Returns 0, or the seconds until a call may be left; None if the key's row must be read
        first."""
        with self._lock:
            bucket = self._by_key.setdefault(api_key_id, LocalBucket())
            if bucket.calls:
                bucket.calls -= 1
                return 0.0
            wait = bucket.empty_until - time.monotonic()
            return wait if wait > 0 else None

    def fill(self, api_key_id: int, calls: int, wait: float) -> None:
        """Add `calls` that were taken from the row; once they are used, the row is not read for `wait` seconds."""
        with self._lock:
            bucket = self._by_key.setdefault(api_key_id, LocalBucket())
            bucket.calls += calls
            bucket.empty_until = time.monotonic() + wait

    def empty(self) -> None:
        with self._lock:
            self._by_key.clear()


local_buckets = LocalBuckets()


def take(needs: Sequence[Need]) -> list[None]:
    """Move the calls that are needed, but at least a second's worth, from the keys' rows into the local buckets."""
    wanted = Counter(need.api_key_id for need in needs)
    limits = {need.api_key_id: need.limit for need in needs}
    with transaction.atomic():
        taken = {row.pk: _take(row, limits[row.pk], wanted[row.pk]) for row in _locked(limits)}
    for api_key_id, (calls, wait) in taken.items():
        local_buckets.fill(api_key_id, calls, wait)
    return [None] * len(needs)


def _take(row: RateBucket, limit: int, wanted: int) -> tuple[int, float]:
    """Take calls from the row. Returns their number, and the seconds until the next call if they are fewer than
    `wanted`."""
    row.fill(limit, timezone.now())
    calls = min(int(row.calls), max(wanted, limit // 60))
    row.calls -= calls
    row.save()
    return calls, 0.0 if calls >= wanted else max(SHORTEST_WAIT, (1 - row.calls) * 60 / limit)


def _locked(limits: dict[int, int]) -> list[RateBucket]:
    """Return the keys' rows, locked in the order of their ids to avoid deadlocks. Creates missing rows, full."""
    rows = RateBucket.objects.select_for_update().filter(pk__in=limits).order_by("pk")
    found = list(rows)
    if len(found) == len(limits):
        return found
    now = timezone.now()
    new = [RateBucket(api_key_id=key, calls=limit, filled_at=now) for key, limit in limits.items()]
    RateBucket.objects.bulk_create(new, ignore_conflicts=True)
    return list(rows.all())
