"""A shard's way from the claim to its end."""

import logging

from django.conf import settings

from evaluations.models import Result
from evaluations.pipeline.direct import LeaseLost, fail_results, work_direct
from evaluations.pipeline.finishing import finish, refresh_counts
from evaluations.pipeline.leases import Lease, claim_shard, close_shard, give_back
from evaluations.scoring.normalizers import get_normalizer
from evaluations.scoring.services import score_results
from providers.adapters.base import ProviderError
from providers.reasons import Reason

logger = logging.getLogger(__name__)


def work_on_shard(shard_id: int) -> None:
    """Claim the shard and work on it for a slice; score what was done; close it, or queue it again."""
    lease = claim_shard(shard_id)
    if lease is None:
        return
    job = lease.shard.job
    try:
        done = _work(lease)
    except LeaseLost:
        logger.info("shard %s of job %s of run %s: lease lost", shard_id, job.pk, job.run_id)
        return
    normalizer = get_normalizer(job.run.normalizer, job.run.normalizer_version)
    score_results(Result.objects.filter(shard=shard_id), normalizer)
    refresh_counts(job)
    if not done:
        give_back(lease)
    elif close_shard(lease):
        logger.info("shard %s of job %s of run %s: done", shard_id, job.pk, job.run_id)
        finish(job)


def _work(lease: Lease) -> bool:
    """True where none of the shard's results is pending any more."""
    pending = Result.objects.filter(shard=lease.shard).pending()
    if lease.shard.attempts > settings.SHARD_MAX_ATTEMPTS:
        fail_results(pending, Reason.WORKER_LOST, "Workers died again and again on this sample's shard.")
        return True
    try:
        return work_direct(lease)
    except ProviderError as error:
        fail_results(pending, error.reason, str(error))
        return True
