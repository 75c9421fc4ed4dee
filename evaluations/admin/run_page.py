"""What the page of a run shows."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from evaluations.models import Result, Run
from evaluations.progress import JobProgress, run_progress
from evaluations.scoring.leaderboard import leaderboard
from evaluations.scoring.normalizers import get_normalizer


@dataclass(frozen=True)
class LiveJob:
    """One model's progress, with its failures by reason code."""

    progress: JobProgress
    reasons: dict[str, int]


def live_context(run: Run) -> dict[str, Any]:
    """What changes while the run goes on."""
    progress = run_progress(run)
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for name, reason, count in Result.objects.filter(run=run).failure_counts():
        reasons[name][reason] = count
    jobs = [LiveJob(job, reasons[job.name]) for job in progress.jobs]
    return {"run": run, "progress": progress, "jobs": jobs}


def run_context(run: Run) -> dict[str, Any]:
    """Everything on the page."""
    return {
        **live_context(run),
        "board": leaderboard(run),
        "normalizer": get_normalizer(run.normalizer, run.normalizer_version),
    }
