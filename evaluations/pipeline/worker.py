"""A shard's way from the claim to its end."""

import logging

from django.conf import settings
from django.db.models import Count

from core.leases import LeaseLost, renewed
from evaluations.models import Result, Shard
from evaluations.pipeline.batch import BatchRunner
from evaluations.pipeline.completion import finish, refresh_counts
from evaluations.pipeline.direct import work_direct
from evaluations.pipeline.leases import ShardLease, claim_shard, close_shard, give_back
from evaluations.pipeline.remote_files import stop_batches
from evaluations.pipeline.results import fail_results
from evaluations.scoring.normalizers import get_normalizer
from evaluations.scoring.services import score_results
from providers.adapters.base import ProviderError
from providers.models import SpeechModel
from providers.reasons import Reason

logger = logging.getLogger(__name__)

BATCH_PATIENCE = 5  # times as many claims: most of them wait, and end nothing


def work_on_shard(shard_id: int) -> None:
    """Claim the shard and work on it for a slice; score what was done; close it, or queue it again."""
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
        give_back(lease, delay=pause)
    elif close_shard(lease):
        counts = Result.objects.filter(shard=shard_id).order_by().values_list("status").annotate(Count("pk"))
        logger.info("run %s job %s shard %s: done, %s", job.run_id, job.pk, shard_id, dict(counts))
        finish(job)


def _work(lease: ShardLease) -> float | None:
    """Seconds until it is worth going on; None where none of the shard's results is pending any more."""
    shard = lease.shard
    patience = BATCH_PATIENCE if shard.kind == Shard.Kind.BATCH else 1
    if shard.attempts > settings.SHARD_MAX_ATTEMPTS * patience:
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
    """End every result that is left; a batch that they wait for is stopped, too, or else it would be paid for."""
    fail_results(Result.objects.filter(shard=shard), reason, message)
    stop_batches(shard.batches.all())


def _work_batch(lease: ShardLease, model: SpeechModel) -> float | None:
    shard = lease.shard
    if not (shard.batches.live().exists() or Result.objects.filter(shard=shard).pending().exists()):
        return None  # a worker has died after the batch's end, before the shard's
    with renewed(lease) as heartbeat:
        return BatchRunner(lease, heartbeat, model).work()
