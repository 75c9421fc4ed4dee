"""Closes a job when its last shard is closed, and a run when its last job is; counts their results."""

from django.db import transaction
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from evaluations.choices import Status
from evaluations.models import Job, Result, Run
from evaluations.pipeline.remote_files import release_files


def count_results(job: Job) -> dict[str, int]:
    """Count a job's results by state; the sum is the job's total."""
    rows = Result.objects.filter(job=job)
    return rows.aggregate(
        pending=Count("pk", filter=Q(status=Result.Status.PENDING)),
        completed=Count("pk", filter=Q(status=Result.Status.COMPLETED)),
        failed=Count("pk", filter=Q(status=Result.Status.FAILED)),
        cancelled=Count("pk", filter=Q(status=Result.Status.CANCELLED)),
    )


def refresh_counts(job: Job) -> None:
    """Update the counts that a job shows from its results; in one statement, so that no older count overwrites them."""
    results = Result.objects.filter(job=OuterRef("pk")).order_by().values("job").annotate(count=Count("pk"))
    ended = [Result.Status.COMPLETED, Result.Status.FAILED, Result.Status.CANCELLED]
    Job.objects.filter(pk=job.pk).update(
        **{str(status): Coalesce(Subquery(results.filter(status=status).values("count")), 0) for status in ended}
    )


def job_outcome(counts: dict[str, int], total: int) -> Status:
    """Return the final status of a job without pending results, by its counts."""
    if counts["cancelled"]:
        return Status.CANCELLED
    if counts["failed"] == total:
        return Status.FAILED
    return Status.COMPLETED_WITH_FAILURES if counts["failed"] else Status.COMPLETED


def run_outcome(job_statuses: set[str]) -> Status:
    """Return the final status of a run, by those of all its jobs."""
    if Status.CANCELLED in job_statuses:
        return Status.CANCELLED
    if job_statuses == {Status.FAILED}:
        return Status.FAILED
    return Status.COMPLETED if job_statuses == {Status.COMPLETED} else Status.COMPLETED_WITH_FAILURES


def finish(job: Job) -> None:
    """Close the job if no shard of it is open, and then its run if no job of it is.

    Call it after the shard's end is committed: of two workers that close the last two shards at once, at least one
    then sees both closed, and the conditional updates let only one close the job.
    """
    if finish_job(job):
        finish_run(job.run_id)
        release_files(job.run_id)


@transaction.atomic
def finish_job(job: Job) -> bool:
    """Close the job. Returns False where it has an open shard, or was closed before."""
    ended = Job.objects.unfinished().without_open_shards().filter(pk=job.pk)
    if not ended.exists():
        return False
    counts = count_results(job)
    counts.pop("pending")
    return bool(ended.update(status=job_outcome(counts, job.total), finished_at=timezone.now(), **counts))


@transaction.atomic
def finish_run(run_id: int) -> None:
    """Close the run; does nothing where a job is not closed, or the run was closed before."""
    statuses = set(Job.objects.filter(run=run_id).values_list("status", flat=True))
    Run.objects.unfinished().without_unfinished_jobs().filter(pk=run_id).update(
        status=run_outcome(statuses), finished_at=timezone.now()
    )
