"""Estimates what a run will process and cost, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, Sum
from django.utils import timezone

from datasets.models import Dataset
from providers.capabilities import goes_in_batches, language_warning, problem_with
from providers.models import SpeechModel
from providers.pricing import cost_of_audio


@dataclass(frozen=True)
class ModelEstimate:
    model: SpeechModel
    in_batches: bool
    cost_usd: Decimal | None  # None: unknown
    problem: str  # why the model cannot take part; empty where it can
    warning: str  # why its results may be poor; may be empty


@dataclass(frozen=True)
class Estimate:
    samples: int
    audio_seconds: float
    models: list[ModelEstimate]

    @property
    def cost_usd(self) -> Decimal | None:
        """The sum over the models; None where the cost of one is unknown."""
        costs = [model.cost_usd for model in self.models]
        if None in costs:
            return None
        return sum((cost for cost in costs if cost is not None), Decimal(0))


def estimate_run(
    *, dataset: Dataset, models: Sequence[SpeechModel], mode: str = "auto", language: str = ""
) -> Estimate:
    """Estimate samples, seconds of audio and cost of a run. Costs by tokens are a rule of thumb, see `cost_of_audio`.

    Warnings are for `language` (BCP-47), or the dataset's language without one.
    """
    totals = dataset.samples.aggregate(samples=Count("pk"), seconds=Sum("audio__duration"))
    seconds = totals["seconds"] or 0.0
    today = timezone.localdate()
    return Estimate(
        samples=totals["samples"],
        audio_seconds=seconds,
        models=[
            ModelEstimate(
                model=model,
                in_batches=goes_in_batches(model, mode),
                cost_usd=cost_of_audio(model, seconds, today, batch=goes_in_batches(model, mode)),
                problem=problem_with(model, task=dataset.task, mode=mode),
                warning=language_warning(model, language or dataset.language),
            )
            for model in models
        ],
    )
