"""Rows to look at: real services where they are quick, bulk inserts for what workers would have done."""

import itertools

from django.utils import timezone

from datasets.models import Audio, Dataset, Sample
from evaluations.choices import Status
from evaluations.models import Attempt, Job, Result, Run
from evaluations.scoring.normalizers import get_normalizer
from evaluations.scoring.services import score_results
from evaluations.services import start_run
from providers.models import SpeechModel
from tests.scripted.data import make_model

numbers = itertools.count(1)


def make_dataset(workspace, samples=3, name=None, references=None):
    """A dataset of 2 second clips. Its audio has no file behind it: nothing plays it."""
    number = next(numbers)
    dataset = Dataset.objects.create(workspace=workspace, name=name or f"dataset {number}")
    audio = Audio.objects.create(
        workspace=workspace,
        sha256=f"{number:064x}",
        file=f"audio/{number}.wav",
        size=64044,
        container="wav",
        codec="pcm_s16le",
        mime_type="audio/wav",
        duration=2.0,
        sample_rate=16000,
        channels=1,
        peaks=bytes(range(0, 250, 5)),
    )
    references = references or [f"the quick brown fox number {i}" for i in range(samples)]
    Sample.objects.bulk_create(
        Sample(dataset=dataset, key=f"clip-{i:04}.wav", audio=audio, reference=reference, tags={"noise": "babble"})
        for i, reference in enumerate(references)
    )
    return dataset


def make_models(workspace, count=2):
    """The first `count` of the models scripted/model-a, scripted/model-b, ..."""
    names = [f"model-{letter}" for letter in "abcdefgh"[:count]]
    there = {model.name: model for model in SpeechModel.objects.for_workspace(workspace)}
    return [there.get(name) or make_model(workspace, name) for name in names]


def make_run(workspace, samples=3, models=2, dataset=None, **options):
    """A run that has just been started: every result is pending."""
    dataset = dataset or make_dataset(workspace, samples)
    return start_run(dataset=dataset, models=make_models(workspace, models), **options)


def complete(run, say=lambda result: result.sample.reference or "", job=None):
    """Complete pending results of `run` (of one `job`) with what `say(result)` returns, then score them."""
    results = list(Result.objects.filter(run=run).pending().select_related("sample"))
    results = [result for result in results if job is None or result.job_id == job.pk]
    for result in results:
        result.status, result.hypothesis = Result.Status.COMPLETED, say(result)
        result.latency, result.finished_at = 0.5, timezone.now()
        result.reason = "" if result.hypothesis else "empty_output"
    Result.objects.bulk_update(results, ["status", "hypothesis", "latency", "finished_at", "reason"])
    score_results(Result.objects.filter(run=run), get_normalizer(run.normalizer, run.normalizer_version))
    settle(run)


def fail(result, reason="timeout", error="The model took too long."):
    """Fail one result, with the attempt that it was."""
    Result.objects.filter(pk=result.pk).update(status="failed", reason=reason, error=error, attempts=1)
    Attempt.objects.create(result=result, number=1, reason=reason, error=error, latency=3.0)
    settle(result.run)


def settle(run):
    """Take the counts of the run's jobs again, and end what has nothing left to do."""
    now = timezone.now()
    for job in run.jobs.all():
        counts = {status: job.results.filter(status=status).count() for status in ("completed", "failed", "cancelled")}
        left = job.total - sum(counts.values())
        status = Status.RUNNING if left else Status.COMPLETED_WITH_FAILURES if counts["failed"] else Status.COMPLETED
        Job.objects.filter(pk=job.pk).update(**counts, status=status, started_at=now)
    states = set(Job.objects.filter(run=run).values_list("status", flat=True))
    finished = not states & {Status.RUNNING, Status.PENDING}
    status = Status.RUNNING
    if finished:
        status = Status.COMPLETED_WITH_FAILURES if Status.COMPLETED_WITH_FAILURES in states else Status.COMPLETED
    Run.objects.filter(pk=run.pk).update(status=status, started_at=now, finished_at=now if finished else None)
    run.refresh_from_db()
