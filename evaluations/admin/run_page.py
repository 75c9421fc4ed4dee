"""Collects what the page of a run shows."""

from typing import Any

from evaluations.models import Batch, Run
from evaluations.progress import run_progress
from evaluations.provider_state import files_of
from evaluations.scoring.leaderboard import leaderboard
from evaluations.scoring.normalizers import NORMALIZERS

LARGE = 20_000  # results, from which on the page refreshes less often, since counting takes long


def live_context(run: Run) -> dict[str, Any]:
    """Return the part of the page that changes while the run goes on."""
    progress = run_progress(run)
    return {
        "run": run,
        "progress": progress,
        "waits": any(job.waiting_for for job in progress.jobs),
        "providers": dict(run.jobs.exclude(model=None).values_list("model_name", "model__provider")),
        "poll_seconds": 1 if progress.total < LARGE else 5,
    }


def remote_context(run: Run) -> dict[str, Any]:
    """Return batches and files at the providers, which also change after the run's end, until the files are gone."""
    batches, files = list(Batch.objects.of_run(run)), files_of(run)
    return {
        "run": run,
        "batches": batches,
        "files": files,
        "may_collect": run.is_finished and any(batch.output for batch in batches),
        "is_live": not run.is_finished or files.alive or any(batch.cancel_pending for batch in batches),
    }


def prompts_of(run: Run) -> list[tuple[str, list[str]]]:
    """Return each prompt with the names of the models that it was sent to."""
    names: dict[str, list[str]] = {}
    for job in run.jobs.all():
        names.setdefault(job.prompt, []).append(job.model_name)
    return list(names.items())


def board_context(run: Run, normalizer: str = "") -> dict[str, Any]:
    """Return the leaderboard under `normalizer`, or the run's own. The normaliser is passed to the template as text,
    since templates call what is callable."""
    names = [known.name for known in NORMALIZERS]
    board = leaderboard(run, normalizer if normalizer in names else None)
    return {
        "run": run,
        "normalizer_names": names,
        "normalizer_name": board.normalizer.name,
        "rows": board.rows,
        "best": board.best,
        "normalizer": str(board.normalizer),
        "normalizer_steps": board.normalizer.description,
    }
