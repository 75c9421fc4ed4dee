"""Counts how far a run is, and estimates its time left."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count
from django.utils import timezone

from evaluations.models import Result, Run
from evaluations.provider_state import Stage, stages_of


@dataclass(frozen=True)
class Counts:
    """Results by state: pending + completed + failed + cancelled = total."""

    total: int
    pending: int
    completed: int
    failed: int
    cancelled: int

    @property
    def done(self) -> int:
        return self.total - self.pending


@dataclass(frozen=True)
class JobProgress(Counts):
    name: str
    status: str
    stage: str
    waiting_for: list[str]  # why it does not go on, such as a quota at the provider
    error: str
    failures_by_reason: dict[str, int]


@dataclass(frozen=True)
class RunProgress(Counts):
    status: str
    seconds_elapsed: float | None  # None: not started
    seconds_left: float | None  # None: unknown yet, or the run has ended
    jobs: list[JobProgress]


def run_progress(run: Run) -> RunProgress:
    """Count the run's results as they are now. At most five queries, whatever the number of jobs."""
    by_job: dict[int, Counter[tuple[str, str]]] = {}
    states = Result.objects.filter(run=run).order_by().values_list("job", "status", "reason")
    for job_id, status, reason, count in states.annotate(count=Count("pk")):
        by_job.setdefault(job_id, Counter())[status, reason] = count
    stages = stages_of(run)
    jobs = []
    for job in run.jobs.all():
        states_of_job, stage = by_job.get(job.pk, Counter()), stages.get(job.pk, Stage(""))
        jobs.append(
            JobProgress(
                **_by_status(states_of_job),
                name=job.model_name,
                status=job.status,
                stage=stage.text,
                waiting_for=stage.waiting_for,
                error=job.error,
                failures_by_reason={r: n for (s, r), n in states_of_job.items() if s == Result.Status.FAILED},
            )
        )
    totals = _by_status(sum(by_job.values(), Counter()))
    elapsed = _elapsed(run)
    return RunProgress(
        **totals,
        status=run.status,
        seconds_elapsed=elapsed,
        seconds_left=_left(elapsed, totals) if not run.is_finished else None,
        jobs=jobs,
    )


def _by_status(states: "Counter[tuple[str, str]]") -> dict[str, int]:
    counts = dict.fromkeys(("pending", "completed", "failed", "cancelled"), 0)
    for (status, _), count in states.items():
        counts[status] += count
    return {**counts, "total": sum(counts.values())}


def _elapsed(run: Run) -> float | None:
    if run.started_at is None:
        return None
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()


def _left(elapsed: float | None, totals: dict[str, int]) -> float | None:
    """Estimate the seconds left by the pace so far; None where nothing has ended."""
    done = totals["total"] - totals["pending"]
    return elapsed * totals["pending"] / done if elapsed and done else None
