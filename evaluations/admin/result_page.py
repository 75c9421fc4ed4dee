"""Collects what the page of a result shows."""

from typing import Any

from evaluations.models import Result
from evaluations.scoring.alignment import align
from evaluations.scoring.normalizers import get_normalizer


def result_context(result: Result) -> dict[str, Any]:
    """Return the result with its score, alignment, attempts and neighbours."""
    run, sample = result.run, result.sample
    normalizer = get_normalizer(run.normalizer, run.normalizer_version)
    completed = result.status == Result.Status.COMPLETED
    before, after = Result.objects.previous_and_next(result)
    score = result.scores.under(run.normalizer, run.normalizer_version).first()
    attempts = list(result.failed_attempts.all())
    steps = []
    if completed and sample.reference is not None:
        steps = align(sample.reference, result.hypothesis, normalizer)
    return {
        "result": result,
        "run": run,
        "job": result.job,
        "sample": sample,
        "language": run.options.get("language") or sample.language or sample.dataset.language,
        "score": score,
        "normalizer": str(normalizer),
        "normalizer_steps": normalizer.description,
        "steps": steps,
        "texts": [
            ("Reference", sample.reference, normalizer(sample.reference or "")),
            ("Hypothesis", result.hypothesis if completed else None, normalizer(result.hypothesis)),
        ],
        "failed_attempts": attempts,
        "earlier_cost_usd": sum(attempt.cost_usd for attempt in attempts if attempt.cost_usd is not None),
        "others": Result.objects.filter(run=run, sample=sample).exclude(pk=result.pk).for_list().order_by("job"),
        "before": before,
        "after": after,
    }
