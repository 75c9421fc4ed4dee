"""Who works on a shard: one worker at a time, for as long as it renews its lease."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, Count, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.queue import enqueue
from evaluations.choices import Status
from evaluations.models import Job, Result, Run, Shard

WORK = "evaluations.tasks.work_shard"


class LeaseLost(Exception):  # noqa: N818
    """The shard is no longer this worker's: the run was cancelled, or another worker has taken over."""


@dataclass(frozen=True)
class Lease:
    """A worker's hold on a shard."""

    shard: Shard
    token: uuid.UUID

    def renew(self) -> bool:
        """Hold the shard for another lease. False where it was lost: cancelled, or taken by somebody else."""
        until = timezone.now() + timedelta(seconds=settings.SHARD_LEASE_SECONDS)
        return bool(Shard.objects.held_by(self.shard.pk, self.token).update(lease_until=until))


@transaction.atomic
def queue_shards(shard_ids: list[int], *, delay: float = 0) -> None:
    """Put shards on the queue, and note when: a shard whose queue row is lost is found by that."""
    Shard.objects.filter(pk__in=shard_ids).update(queued_at=timezone.now() + timedelta(seconds=delay))
    for shard_id in shard_ids:
        enqueue(WORK, shard_id, delay=delay)


@transaction.atomic
def claim_shard(shard_id: int) -> Lease | None:
    """Take a free shard and count the attempt, committed before any work on it. None where it is not free.

    Attempts count claims in a row that got nothing done: fewer pending results than at the last claim start anew.
    """
    token = uuid.uuid4()
    results = Result.objects.filter(shard=OuterRef("pk")).pending().order_by().values("shard")
    pending = Coalesce(Subquery(results.annotate(count=Count("pk")).values("count")), 0)
    claimed = (
        Shard.objects.free()
        .filter(pk=shard_id)
        .update(
            lease_token=token,
            lease_until=timezone.now() + timedelta(seconds=settings.SHARD_LEASE_SECONDS),
            attempts=Case(When(pending_at_claim__lte=pending, then=F("attempts") + 1), default=Value(1)),
            pending_at_claim=pending,
        )
    )
    if not claimed:
        return None
    shard = Shard.objects.select_related("job__run", "job__model__provider").get(pk=shard_id)
    if shard.job.status == Status.PENDING:
        now = timezone.now()
        Job.objects.filter(pk=shard.job_id, status=Status.PENDING).update(status=Status.RUNNING, started_at=now)
        Run.objects.filter(pk=shard.job.run_id, status=Status.PENDING).update(status=Status.RUNNING, started_at=now)
    return Lease(shard, token)


@transaction.atomic
def give_back(lease: Lease, *, delay: float = 0) -> None:
    """End a slice of work in good order: the shard is free, and queued again for the next slice, `delay` s later."""
    released = Shard.objects.held_by(lease.shard.pk, lease.token).update(
        lease_token=None, lease_until=None, attempts=0, pending_at_claim=None
    )
    if released:
        queue_shards([lease.shard.pk], delay=delay)


def close_shard(lease: Lease) -> bool:
    """End the shard. False where the lease was lost, or a result is pending after all: then it is taken up again when
    the lease has run out."""
    ended = Shard.objects.held_by(lease.shard.pk, lease.token).without_pending_results()
    return bool(ended.update(state=Shard.State.DONE, lease_token=None, lease_until=None))


NOTICE_SECONDS = 5.0  # how soon a cancelled run is noticed


class LeaseHeartbeat:
    """Renewed by a thread, every third of its length at the latest."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def check(self) -> None:
        """Raises LeaseLost where it could not be renewed."""
        if self._lost.is_set():
            raise LeaseLost

    def _keep(self) -> None:
        try:
            period = min(NOTICE_SECONDS, settings.SHARD_LEASE_SECONDS / 3)
            while not self._done.wait(period) and self.lease.renew():
                pass
        finally:
            # Also where the database did not answer: the lease runs out, and somebody else takes it.
            if not self._done.is_set():
                self._lost.set()
            connection.close()


@contextmanager
def renewed(lease: Lease) -> Iterator[LeaseHeartbeat]:
    """Inside, `lease` is renewed as long as it can be."""
    heartbeat = LeaseHeartbeat(lease)
    heartbeat._thread.start()
    try:
        yield heartbeat
    finally:
        heartbeat._done.set()
        heartbeat._thread.join()
