"""What was left behind by workers that died is taken up again."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.queue import enqueue, waiting
from datasets.services import resume_stale_imports
from evaluations.models import Job, Run, Shard, Timer
from evaluations.pipeline.cleanup import runs_to_clean_up
from evaluations.pipeline.completion import finish_job, finish_run
from evaluations.pipeline.leases import queue_shards
from evaluations.pipeline.remote_files import CLEAN_UP, release_files

logger = logging.getLogger(__name__)

SWEEP = "evaluations.tasks.sweep"


def sweep_if_due() -> None:
    """Sweep, unless that was done within the last SWEEP_SECONDS, and put the next sweep on the queue."""
    if not _claim_timer():
        return
    shards = _requeue_lost_shards()
    jobs = _finish_ended_jobs()
    imports = resume_stale_imports()
    for run_id in runs_to_clean_up():
        enqueue(CLEAN_UP, run_id)
    for path in settings.SWEEP_TASKS:  # last: what is waiting tells whether the queue has lost a shard's row
        enqueue(path)
    if shards or jobs or imports:
        logger.info("sweep: %s shards and %s imports queued again, %s jobs closed", shards, imports, jobs)


@transaction.atomic
def _claim_timer() -> bool:
    """True for one caller a period, which also arms the next: of several chains of sweeps one goes on."""
    now = timezone.now()
    period = timedelta(seconds=settings.SWEEP_SECONDS)
    Timer.objects.get_or_create(name=SWEEP, defaults={"due_at": now})
    if not Timer.objects.filter(name=SWEEP, due_at__lte=now).update(due_at=now + period):
        return False
    enqueue(SWEEP, delay=settings.SWEEP_SECONDS)
    return True


def _requeue_lost_shards() -> int:
    """Queue shards again whose worker is gone; with an idle queue, those too whose queue row must have been lost."""
    before = timezone.now() - timedelta(seconds=settings.SHARD_LEASE_SECONDS)
    lost = Shard.objects.lost(before)
    if waiting():
        lost = lost.filter(lease_until__isnull=False)
    shard_ids = list(lost.values_list("pk", flat=True))
    if shard_ids:
        queue_shards(shard_ids)
    return len(shard_ids)


def _finish_ended_jobs() -> int:
    """Close jobs and runs whose last worker died between its shard's end and theirs, and let go of their files."""
    jobs = list(Job.objects.unfinished().without_open_shards())
    for job in jobs:
        finish_job(job)
        release_files(job.run_id)
    for run in Run.objects.unfinished().without_unfinished_jobs():
        finish_run(run.pk)
    for run in Run.objects.finished().with_unreleased_files():
        release_files(run.pk)
    return len(jobs)
