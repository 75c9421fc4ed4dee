"""Compares the models of a run, under one named normaliser."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, F, Q, Sum

from evaluations.models import Attempt, Job, Result, Run, Score
from evaluations.scoring.normalizers import Normalizer, get_normalizer


@dataclass(frozen=True)
class Row:
    """The figures of one model. A rate is a sum divided by a sum; None where the divisor is 0.

    Samples with an empty reference (no speech) are counted separately and are in no rate. Failed results are in no
    rate either; `failed` counts them.
    """

    model_name: str
    job_id: int
    status: str
    total: int
    pending: int
    completed: int
    failed: int
    cancelled: int
    failures_by_reason: dict[str, int]
    empty_outputs: int  # completed, but the model answered with no text
    scored: int
    without_reference: int
    empty_references: int
    empty_references_with_output: int
    hits: int
    substitutions: int
    deletions: int
    insertions: int
    reference_words: int
    character_errors: int
    reference_characters: int
    mean_wer: float | None  # mean of the samples' own rates; not the corpus rate
    audio_seconds: float
    timed_audio_seconds: float  # of results with a latency: those of batches have none
    processing_seconds: float
    latency_p50: float | None  # seconds
    latency_p95: float | None  # seconds
    input_tokens: int | None  # of every answer, also of failed results; None where the provider reports none
    output_tokens: int | None
    cost_usd: Decimal | None  # of every answer that was paid for; None: unknown for a completed result
    retries: int  # calls after the first for a result; their time is in no figure

    @property
    def wer(self) -> float | None:
        """Corpus word error rate: (S + D + I) / reference words, summed over the scored samples first."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.reference_words if self.reference_words else None

    @property
    def cer(self) -> float | None:
        """Corpus character error rate: character errors / reference characters, summed first."""
        return self.character_errors / self.reference_characters if self.reference_characters else None

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio per second of processing, summed first, over completed results with a latency."""
        return self.timed_audio_seconds / self.processing_seconds if self.processing_seconds else None


@dataclass(frozen=True)
class Leaderboard:
    normalizer: Normalizer
    rows: list[Row]  # best WER first; models without one last

    @property
    def best(self) -> Row | None:
        """The model with the lowest WER of several. None where another was scored on more words: the samples that this
        one failed on may be the hard ones."""
        first = self.rows[0] if len(self.rows) > 1 else None
        if first is None or first.wer is None or any(row.reference_words > first.reference_words for row in self.rows):
            return None
        return first


def leaderboard(run: Run, normalizer: str | None = None, version: int | None = None) -> Leaderboard:
    """Compare the run's models under the run's own normaliser, or another that it was scored with.

    Raises UnknownNormalizer.
    """
    chosen = (
        get_normalizer(normalizer, version) if normalizer else get_normalizer(run.normalizer, run.normalizer_version)
    )
    states = _result_sums(run)
    _add_failed_attempts(run, states)
    scores = _score_sums(run, chosen)
    rows = [_row(job, states[job.pk], scores.get(job.pk, {})) for job in run.jobs.all() if job.pk in states]
    return Leaderboard(chosen, sorted(rows, key=lambda row: (row.wer is None, row.wer or 0.0, row.model_name)))


def _result_sums(run: Run) -> dict[int, dict[str, Any]]:
    """Return by job id: counts of results by status and reason, and sums over the completed ones."""
    jobs: dict[int, dict[str, Any]] = {}
    groups = (
        Result.objects.filter(run=run)
        .order_by()
        .values("job", "status", "reason")
        .annotate(
            count=Count("pk"),
            audio=Sum("audio_seconds"),
            timed=Count("latency"),
            timed_audio=Sum("audio_seconds", filter=Q(latency__isnull=False)),
            processing=Sum("latency"),
            cost=Sum("cost_usd"),
            priced=Count("cost_usd"),
            input_tokens=Sum("input_tokens"),
            output_tokens=Sum("output_tokens"),
            retries=Sum(F("calls") - 1, filter=Q(calls__gt=0)),
        )
    )
    for group in groups:
        state = jobs.setdefault(group["job"], _empty_sums())
        state[group["status"]] += group["count"]
        state["total"] += group["count"]
        if group["status"] == Result.Status.FAILED:
            state["failures_by_reason"][group["reason"]] = group["count"]
        state["retries"] += group["retries"] or 0
        _add_usage(state, group)
        if group["status"] == Result.Status.COMPLETED:
            state["empty_outputs"] += group["count"] if group["reason"] else 0
            state["audio_seconds"] += group["audio"] or 0.0
            state["timed"] += group["timed"]
            state["timed_audio_seconds"] += group["timed_audio"] or 0.0
            state["processing_seconds"] += group["processing"] or 0.0
            state["priced"] += group["priced"]
    return jobs


def _add_usage(state: dict[str, Any], sums: dict[str, Any]) -> None:
    state["cost_usd"] += sums["cost"] or 0
    for side in ("input_tokens", "output_tokens"):
        if sums[side] is not None:
            state[side] = (state[side] or 0) + sums[side]


def _add_failed_attempts(run: Run, states: dict[int, dict[str, Any]]) -> None:
    """Add tokens and cost of failed answers whose results were retried since, such as truncated ones."""
    sums = {side: Sum(side) for side in ("input_tokens", "output_tokens")}
    paid = Attempt.objects.filter(result__run=run).values("result__job").annotate(cost=Sum("cost_usd"), **sums)
    for group in paid.order_by():
        _add_usage(states[group["result__job"]], dict(group))


def _empty_sums() -> dict[str, Any]:
    counts = ["total", "pending", "completed", "failed", "cancelled", "empty_outputs", "priced", "timed", "retries"]
    return {
        **dict.fromkeys(counts, 0),
        "failures_by_reason": {},
        "audio_seconds": 0.0,
        "timed_audio_seconds": 0.0,
        "processing_seconds": 0.0,
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": Decimal(0),
    }


_SUMS = [
    "hits",
    "substitutions",
    "deletions",
    "insertions",
    "reference_words",
    "character_errors",
    "reference_characters",
]


def _score_sums(run: Run, normalizer: Normalizer) -> dict[int, dict[str, Any]]:
    """Return by job id: sums over the scores of samples with speech, and counts of samples without."""
    spoken = Q(reference_empty=False)
    groups = (
        Score.objects.filter(job__run=run)
        .under(normalizer.name, normalizer.version)
        .values("job")
        .annotate(
            scored=Count("pk", filter=spoken),
            empty_references=Count("pk", filter=~spoken),
            empty_references_with_output=Count("pk", filter=~spoken & Q(insertions__gt=0)),
            mean_wer=Avg("wer"),
            **{f"{name}_sum": Sum(name, filter=spoken) for name in _SUMS},
        )
    )
    return {group["job"]: dict(group) for group in groups}


def _row(job: Job, state: dict[str, Any], score: dict[str, Any]) -> Row:
    counted = ["scored", "empty_references", "empty_references_with_output"]
    numbers: dict[str, Any] = {name: score.get(name, 0) for name in counted}
    numbers |= {name: score.get(f"{name}_sum") or 0 for name in _SUMS}
    priced = state.pop("priced")
    cost = state.pop("cost_usd")
    timed = state.pop("timed")
    completed = state["completed"]
    unscored = completed - numbers["scored"] - numbers["empty_references"]
    return Row(
        model_name=job.model_name,
        job_id=job.pk,
        status=job.status,
        **state,
        **numbers,
        without_reference=_without_reference(job) if unscored else 0,
        mean_wer=score.get("mean_wer"),
        latency_p50=_latency(job, timed, 0.50),
        latency_p95=_latency(job, timed, 0.95),
        cost_usd=cost if priced == completed and (completed or cost) else None,
    )


def _without_reference(job: Job) -> int:
    """Count completed results without a reference; those that just completed have no score yet either."""
    return Result.objects.filter(job=job, status=Result.Status.COMPLETED, sample__reference=None).count()


def _latency(job: Job, timed: int, quantile: float) -> float | None:
    """Return the nearest-rank quantile of the job's latencies in seconds; `timed` is how many there are."""
    completed = Result.objects.filter(job=job, status=Result.Status.COMPLETED)
    latencies = completed.filter(latency__isnull=False).order_by("latency")
    rank = max(0, math.ceil(timed * quantile) - 1)
    return latencies.values_list("latency", flat=True)[rank : rank + 1].first()
