"""What the page of a run shows."""

from typing import Any

from evaluations.models import Run
from evaluations.progress import run_progress
from evaluations.scoring.leaderboard import leaderboard

LARGE = 20_000  # results: from here on counting them takes long enough to ask for it less often


def live_context(run: Run) -> dict[str, Any]:
    """What changes while the run goes on."""
    progress = run_progress(run)
    return {"run": run, "progress": progress, "poll_seconds": 1 if progress.total < LARGE else 5}


def board_context(run: Run) -> dict[str, Any]:
    """The models beside each other. The normaliser goes by its text: templates call what can be called."""
    board = leaderboard(run)
    return {
        "run": run,
        "rows": board.rows,
        "normalizer": str(board.normalizer),
        "normalizer_steps": board.normalizer.description,
    }
