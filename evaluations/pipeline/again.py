"""A finished run's results, made again from the result files that were kept. No provider is called."""

from django.db import transaction
from django.utils import timezone

from evaluations.models import UNFINISHED, Batch, Result, Run
from evaluations.pipeline.collecting import Collector
from evaluations.pipeline.finishing import count_results, job_outcome, run_outcome
from evaluations.scoring.normalizers import get_normalizer
from evaluations.scoring.services import score_results
from providers.adapters.base import as_batch_transcriber
from providers.pricing import price_list
from providers.registry import adapter_for


def collect_again(run: Run) -> None:
    """End failed results as their kept lines say; completed ones stay. Does nothing for a run that goes on."""
    batches = Batch.objects.filter(shard__job__run=run).exclude(output="").order_by("number")
    for batch in batches.select_related("shard__job__model__provider"):
        model = batch.shard.job.model
        if model is None or not Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).exists():
            continue
        adapter = as_batch_transcriber(adapter_for(model.provider))
        day = timezone.localdate(batch.submitted_at) if batch.submitted_at else timezone.localdate()
        Collector(batch, adapter, price_list(model, day), again=True).collect()
        normalizer = get_normalizer(run.normalizer, run.normalizer_version)
        score_results(Result.objects.filter(shard=batch.shard_id), normalizer)
    _settle(run)


@transaction.atomic
def _settle(run: Run) -> None:
    """Counts and outcomes of the run and its jobs, as its results now are."""
    for job in run.jobs.exclude(status__in=UNFINISHED):
        counts = count_results(job)
        if counts.pop("pending"):
            return
        run.jobs.filter(pk=job.pk).update(status=job_outcome(counts, job.total), **counts)
    statuses = set(run.jobs.values_list("status", flat=True))
    Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).update(status=run_outcome(statuses))
