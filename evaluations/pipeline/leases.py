"""Queues, claims and closes shards. One worker at a time holds a shard, as long as it renews its lease."""

from datetime import timedelta
from typing import cast
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Count, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.leases import Lease, claim
from core.queue import enqueue
from evaluations.choices import Status
from evaluations.models import Job, Result, Run, Shard, ShardQuerySet

WORK = "evaluations.tasks.work_shard"


class ShardLease(Lease[Shard]):
    """A worker's hold on a shard: its row as it was when it was claimed."""

    def __init__(self, shard: Shard, token: UUID) -> None:
        super().__init__(Shard.objects.open().filter(pk=shard.pk), token)
        self.shard = shard


@transaction.atomic
def queue_shards(shard_ids: list[int], *, delay: float = 0) -> None:
    """Put shards on the queue, due in `delay` seconds, and store when: the sweep finds lost queue rows by that time."""
    Shard.objects.filter(pk__in=shard_ids).update(queued_at=timezone.now() + timedelta(seconds=delay))
    for shard_id in shard_ids:
        enqueue(WORK, shard_id, delay=delay)


@transaction.atomic
def claim_shard(shard_id: int) -> ShardLease | None:
    """Lease a free shard and count the attempt, committed before any work on it; None where it is not free.

    `attempts` counts claims in a row that ended no result: it starts again at 1 where fewer results are pending than at
    the last claim.
    """
    results = Result.objects.filter(shard=OuterRef("pk")).pending().order_by().values("shard")
    pending = Coalesce(Subquery(results.annotate(count=Count("pk")).values("count")), 0)
    token = claim(
        Shard.objects.free().filter(pk=shard_id),
        attempts=Case(When(pending_at_claim__lte=pending, then=F("attempts") + 1), default=Value(1)),
        pending_at_claim=pending,
    )
    if token is None:
        return None
    shard = Shard.objects.select_related("job__run", "job__model__provider").get(pk=shard_id)
    if shard.job.status == Status.PENDING:
        now = timezone.now()
        Job.objects.filter(pk=shard.job_id, status=Status.PENDING).update(status=Status.RUNNING, started_at=now)
        Run.objects.filter(pk=shard.job.run_id, status=Status.PENDING).update(status=Status.RUNNING, started_at=now)
    return ShardLease(shard, token)


@transaction.atomic
def requeue_shard(lease: ShardLease, *, delay: float = 0) -> None:
    """Release the shard after a slice of work and queue it again, due in `delay` seconds. Does nothing where the lease
    was lost."""
    if lease.release(attempts=0, pending_at_claim=None):
        queue_shards([lease.shard.pk], delay=delay)


def close_shard(lease: ShardLease) -> bool:
    """End the shard. Returns False where the lease was lost, or where a result is still pending: the sweep then queues
    the shard again when its lease has run out."""
    ended = cast(ShardQuerySet, lease.held()).without_pending_results()
    return bool(ended.update(state=Shard.State.DONE, lease_token=None, lease_until=None))
