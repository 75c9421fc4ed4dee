"""The admin's first page: runs under way, the last outcomes, and first steps on a new site."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest

from accounts.admin_base import access_of
from accounts.models import Role, Workspace
from datasets.models import Dataset, Sample
from evaluations.admin.labels import run_bar
from evaluations.models import Run, Score
from providers.models import SpeechModel

SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """A finished run with its best model; None where nothing was scored."""

    run: Run
    best_model: str | None
    best_wer: float | None


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the dashboard shows to the context of the admin index. A fixed number of queries."""
    access = access_of(request)
    if access is None:
        return context
    runs = Run.objects.for_workspace(access.workspace).with_counts().select_related("dataset").order_by("-pk")
    totals = _totals(access.workspace)
    outcomes = _outcomes(list(runs.finished()[:SHOWN]))
    running = [(run, run_bar(run)) for run in runs.unfinished()[:SHOWN]]
    steps = {
        "has_samples": bool(totals["samples"]),
        "has_models": bool(totals["models"]),
        "has_runs": bool(outcomes or running),
    }
    return {
        **context,
        "title": "Dashboard",
        **totals,
        **steps,
        "running": running,
        "outcomes": outcomes,
        "is_new": not all(steps.values()),
        "may_evaluate": access.may(Role.EVALUATOR),
    }


def _totals(workspace: Workspace) -> dict[str, Any]:
    samples = Sample.objects.for_workspace(workspace).aggregate(samples=Count("pk"), seconds=Sum("audio__duration"))
    return {
        "datasets": Dataset.objects.for_workspace(workspace).count(),
        "samples": samples["samples"],
        "audio_seconds": samples["seconds"] or 0.0,
        "models": SpeechModel.objects.for_workspace(workspace).usable().filter(speech_to_text=True).count(),
    }


def _outcomes(runs: list[Run]) -> list[Outcome]:
    best: dict[int, tuple[float, str]] = {}
    for run_id, model, errors, words in Score.objects.filter(job__run__in=runs).word_counts():
        candidate = (errors / words, model)
        best[run_id] = min(best.get(run_id, candidate), candidate)
    nothing = (None, None)
    return [Outcome(run, model, wer) for run in runs for wer, model in [best.get(run.pk, nothing)]]
