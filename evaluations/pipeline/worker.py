"""Works on a shard: claims it, calls the model, scores the results, closes or requeues the shard."""

import logging

from django.conf import settings
from django.db.models import Count

from core.leases import LeaseLost, renewed
from evaluations.models import Result, Shard
from evaluations.pipeline.batch import BatchRunner
from evaluations.pipeline.completion import finish, refresh_counts
from evaluations.pipeline.direct import work_direct
from evaluations.pipeline.leases import ShardLease, claim_shard, close_shard, requeue_shard
from evaluations.pipeline.remote_files import stop_batches
from evaluations.pipeline.results import fail_results
from evaluations.scoring.normalizers import get_normalizer
from evaluations.scoring.services import score_results
from providers.adapters.base import ProviderError
from providers.models import SpeechModel
from providers.reasons import Reason

logger = logging.getLogger(__name__)

BATCH_ATTEMPTS_FACTOR = 5  # batch shards may be claimed so many times more often: most claims only poll


def work_on_shard(shard_id: int) -> None:
    """Claim the shard, work on it for a slice of time and score its results; then close it or queue it again.

    Does nothing where another worker holds the shard.
    """
    lease = claim_shard(shard_id)
    if lease is None:
        return
    job = lease.shard.job
    try:
        pause = _work(lease)
    except LeaseLost:
        logger.info("run %s job %s shard %s: lease lost", job.run_id, job.pk, shard_id)
        return
    normalizer = get_normalizer(job.run.normalizer, job.run.normalizer_version)
    score_results(Result.objects.filter(shard=shard_id), normalizer)
    refresh_counts(job)
    if pause is not None:
        requeue_shard(lease, delay=pause)
    elif close_shard(lease):
        counts = Result.objects.filter(shard=shard_id).order_by().values_list("status").annotate(Count("pk"))
        logger.info("run %s job %s shard %s: done, %s", job.run_id, job.pk, shard_id, dict(counts))
        finish(job)


def _work(lease: ShardLease) -> float | None:
    """Work on a held shard. Returns the seconds after which to go on; None where none of its results is pending.

    Raises LeaseLost.
    """
    shard = lease.shard
    factor = BATCH_ATTEMPTS_FACTOR if shard.kind == Shard.Kind.BATCH else 1
    if shard.attempts > settings.SHARD_MAX_ATTEMPTS * factor:
        _give_up(shard, Reason.WORKER_LOST, "Workers died again and again on this sample's shard.")
        return None
    model = shard.job.model
    if model is None:
        _give_up(shard, Reason.MODEL_REMOVED, "The model was deleted before this sample was sent to it.")
        return None
    try:
        if shard.kind == Shard.Kind.BATCH:
            pause = _work_batch(lease, model)
            if pause is not None or shard.kind == Shard.Kind.BATCH:
                return pause
        return work_direct(lease, model)
    except ProviderError as error:
        _give_up(shard, error.reason, str(error))
        return None


def _give_up(shard: Shard, reason: str, message: str) -> None:
    """Fail every pending result of the shard, and stop its batches, which would otherwise still be paid for."""
    fail_results(Result.objects.filter(shard=shard), reason, message)
    stop_batches(shard.batches.all())


def _work_batch(lease: ShardLease, model: SpeechModel) -> float | None:
    shard = lease.shard
    if not (shard.batches.live().exists() or Result.objects.filter(shard=shard).pending().exists()):
        return None  # a worker died after it ended the batch, before it closed the shard
    with renewed(lease) as heartbeat:
        return BatchRunner(lease, heartbeat, model).work()
