"""Finds work that workers which died have left behind, and queues or finishes it."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from core.queue import enqueue, waiting
from evaluations.models import Job, Run, Shard
from evaluations.pipeline.cleanup import runs_to_clean_up
from evaluations.pipeline.completion import finish_job, finish_run
from evaluations.pipeline.leases import queue_shards
from evaluations.pipeline.remote_files import CLEAN_UP_TASK, release_files

logger = logging.getLogger(__name__)


def requeue_lost_work() -> None:
    """Queue lost shards and overdue clean-ups again; close jobs and runs whose work has ended."""
    shards = _requeue_lost_shards()
    jobs = _finish_ended_jobs()
    for run_id in runs_to_clean_up():
        enqueue(CLEAN_UP_TASK, run_id)
    if shards or jobs:
        logger.info("sweep: %s shards queued again, %s jobs closed", shards, jobs)


def _requeue_lost_shards() -> int:
    """Queue shards again whose worker is gone, or whose queue row is lost. Returns how many.

    A row counts as lost where the queue holds no task any more that is as old as it would be.
    """
    before = timezone.now() - timedelta(seconds=settings.SHARD_LEASE_SECONDS)
    lost = Shard.objects.lost(before)
    if waiting(due_by=before):
        lost = lost.filter(lease_until__isnull=False)
    shard_ids = list(lost.values_list("pk", flat=True))
    if shard_ids:
        queue_shards(shard_ids)
    return len(shard_ids)


def _finish_ended_jobs() -> int:
    """Close jobs and runs whose last worker died after it closed its shard; release their files. Returns the jobs."""
    jobs = list(Job.objects.unfinished().without_open_shards())
    for job in jobs:
        finish_job(job)
        release_files(job.run_id)
    for run in Run.objects.unfinished().without_unfinished_jobs():
        finish_run(run.pk)
    for run in Run.objects.finished().with_unreleased_files():
        release_files(run.pk)
    return len(jobs)
