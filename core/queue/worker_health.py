"""Whether the workers get anything done, seen from outside of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django_q.conf import Conf
from django_q.models import OrmQ

LEAST = 30.0  # seconds that even a worker on a busy machine does not need

_leases: list[Callable[[], datetime | None]] = []


def shows_work(latest_lease: Callable[[], datetime | None]) -> None:
    """Register what changes in the database while a worker is busy: until when the latest lease of a kind runs."""
    _leases.append(latest_lease)


def stall_seconds() -> float:
    """How long a healthy worker may show no sign of life. An idle one runs a sweep every SWEEP_SECONDS, a busy one
    renews its lease every third of it at the latest; this is half as much again as the longer of the two."""
    return float(max(LEAST, 1.5 * settings.SWEEP_SECONDS, 1.5 * settings.SHARD_LEASE_SECONDS / 3))


@dataclass(frozen=True)
class Traces:
    """What the workers leave in the database: the queue (row -> lock) and the latest lease of each kind."""

    queue: dict[int, datetime]
    leases: tuple[datetime | None, ...]

    @classmethod
    def read(cls) -> "Traces":
        leases = tuple(latest() for latest in _leases)
        return cls(dict(OrmQ.objects.filter(key=Conf.CLUSTER_NAME).values_list("pk", "lock")), leases)

    def show_work_since(self, before: "Traces") -> bool:
        """True where a worker took a task off the queue, finished one, or renewed its lease. A task that was only
        put on the queue is no work."""
        return self.leases != before.leases or any(self.queue.get(pk) != lock for pk, lock in before.queue.items())


@dataclass
class StallDetector:
    """Told of the traces again and again, says when tasks have been waiting for `patience` seconds without any work.

    Tasks that a worker has taken but not begun wait too, and look just like those that it works on: a stalled cluster
    holds them. So what counts is any change, not how many are due.
    """

    patience: float
    last: Traces | None = None
    since: float = field(default_factory=time.monotonic)

    def is_stalled(self, now: Traces) -> bool:
        if self.last is None or not now.queue or now.show_work_since(self.last):
            self.since = time.monotonic()
        self.last = now
        return time.monotonic() - self.since > self.patience

    def begin_again(self) -> None:
        self.last = None
