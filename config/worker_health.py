"""Whether the workers get anything done, seen from outside of them."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db.models import Max
from django_q.conf import Conf
from django_q.models import OrmQ

from datasets.models import Import
from evaluations.models import Shard

LEAST = 30.0  # seconds that even a worker on a busy machine does not need


def stall_seconds() -> float:
    """How long a healthy worker may show no sign of life. An idle one runs a sweep every SWEEP_SECONDS, a busy one
    renews its lease every third of it at the latest; this is half as much again as the longer of the two."""
    return max(LEAST, 1.5 * settings.SWEEP_SECONDS, 1.5 * settings.SHARD_LEASE_SECONDS / 3)


@dataclass(frozen=True)
class Traces:
    """What the workers leave in the database: the queue (row -> lock) and the latest lease of each kind."""

    queue: dict[int, datetime]
    leases: tuple[datetime | None, datetime | None]

    @classmethod
    def read(cls) -> "Traces":
        shards = Shard.objects.open().aggregate(latest=Max("lease_until"))
        imports = Import.objects.unfinished().aggregate(latest=Max("lease_until"))
        queue = OrmQ.objects.filter(key=Conf.CLUSTER_NAME).values_list("pk", "lock")
        return cls(dict(queue), (shards["latest"], imports["latest"]))

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
