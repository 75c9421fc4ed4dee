"""How many calls a minute a key may make, over all processes and machines together.

A key's row is filled up evenly by its limit, up to a minute's worth. A process takes about a second's worth from it at
once, so that the row is written about once a second and not with every call.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from gateway.models import RateBucket

SHORTEST_WAIT = 1.0  # seconds before a process asks again for a key that has nothing left


@dataclass(frozen=True, slots=True)
class Need:
    """One call by a key that may make `limit` a minute."""

    api_key_id: int
    limit: int


@dataclass(slots=True)
class LocalBucket:
    """What this process has taken for a key and not used yet."""

    calls: int = 0
    empty_until: float = 0.0  # time.monotonic()


class LocalBuckets:
    """Those of all keys; for any thread."""

    def __init__(self) -> None:
        self._by_key: dict[int, LocalBucket] = {}
        self._lock = threading.Lock()

    def spend(self, api_key_id: int) -> float | None:
        """Seconds to wait for a call: 0 where one is covered; None where that is for the key's row to say."""
        with self._lock:
            bucket = self._by_key.setdefault(api_key_id, LocalBucket())
            if bucket.calls:
                bucket.calls -= 1
                return 0.0
            wait = bucket.empty_until - time.monotonic()
            return wait if wait > 0 else None

    def fill(self, api_key_id: int, calls: int, wait: float) -> None:
        """Add what was taken; without any left afterwards, the row is asked again after `wait` seconds."""
        with self._lock:
            bucket = self._by_key.setdefault(api_key_id, LocalBucket())
            bucket.calls += calls
            bucket.empty_until = time.monotonic() + wait

    def empty(self) -> None:
        with self._lock:
            self._by_key.clear()


local_buckets = LocalBuckets()


def take(needs: Sequence[Need]) -> list[None]:
    """Take what is needed, and a second's worth at least, from the keys' rows into the local_buckets."""
    wanted = Counter(need.api_key_id for need in needs)
    limits = {need.api_key_id: need.limit for need in needs}
    with transaction.atomic():
        taken = {row.pk: _take(row, limits[row.pk], wanted[row.pk]) for row in _locked(limits)}
    for api_key_id, (calls, wait) in taken.items():
        local_buckets.fill(api_key_id, calls, wait)
    return [None] * len(needs)


def _take(row: RateBucket, limit: int, wanted: int) -> tuple[int, float]:
    """Calls, and the seconds until there is another where these were not enough."""
    row.fill(limit, timezone.now())
    calls = min(int(row.calls), max(wanted, limit // 60))
    row.calls -= calls
    row.save()
    return calls, 0.0 if calls >= wanted else max(SHORTEST_WAIT, (1 - row.calls) * 60 / limit)


def _locked(limits: dict[int, int]) -> list[RateBucket]:
    """The rows of the keys, always in the same order; a new one is full."""
    rows = RateBucket.objects.select_for_update().filter(pk__in=limits).order_by("pk")
    found = list(rows)
    if len(found) == len(limits):
        return found
    now = timezone.now()
    new = [RateBucket(api_key_id=key, calls=limit, filled_at=now) for key, limit in limits.items()]
    RateBucket.objects.bulk_create(new, ignore_conflicts=True)
    return list(rows.all())
