"""Starts, cancels, retries, rescores, recollects and deletes runs; each change in one transaction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import User
from core.errors import Conflict, InvalidInput
from core.queue import enqueue
from datasets.models import Dataset, Sample, Task
from evaluations.choices import UNFINISHED, Status
from evaluations.models import Batch, Job, Result, Run, Shard
from evaluations.pipeline.batch_output import recollect
from evaluations.pipeline.completion import refresh_counts
from evaluations.pipeline.leases import queue_shards
from evaluations.pipeline.remote_files import release_files, stop_batches
from evaluations.pipeline.results import archive_attempts
from evaluations.scoring.normalizers import DEFAULT, Normalizer, get_normalizer
from evaluations.scoring.services import score_results
from providers.capabilities import goes_in_batches, problem_with
from providers.models import SpeechModel
from providers.registry import default_prompt

BATCH = 2000  # rows in an INSERT
RESCORE_TASK = "evaluations.tasks.rescore_run"
MODES = ("auto", "batch", "direct")


def start_run(
    *,
    dataset: Dataset,
    models: Sequence[SpeechModel],
    name: str = "",
    normalizer: str = DEFAULT,
    mode: str = "auto",
    prompt: str = "",
    language: str = "",
    created_by: User | None = None,
    idempotency_key: str | None = None,
) -> Run:
    """Create the run with its jobs, shards and results, and queue the shards: all of it, or nothing.

    Where the workspace has a run with this `idempotency_key`, that run is returned and none is started.
    Raises InvalidInput.
    """
    if idempotency_key and (before := Run.objects.started_by(dataset.workspace, idempotency_key)):
        return before
    chosen = _check_start(dataset, models, mode, normalizer)
    try:
        with transaction.atomic():
            run = Run.objects.create(
                workspace=dataset.workspace,
                dataset=dataset,
                name=name or f"{dataset.name} {timezone.localtime():%Y-%m-%d %H:%M}",
                options={"mode": mode, "prompt": prompt, "language": language},
                normalizer=chosen.name,
                normalizer_version=chosen.version,
                idempotency_key=idempotency_key,
                created_by=created_by,
            )
            items = _sample_inputs(dataset)  # read once, so that all models get the same samples
            shard_ids = [shard.pk for model in models for shard in _make_job(run, model, items)]
            queue_shards(shard_ids)
    except IntegrityError:
        # Two requests with one key at the same moment: the other one was first.
        before = Run.objects.started_by(dataset.workspace, idempotency_key or "")
        if before is None:
            raise
        return before
    return run


def _check_start(dataset: Dataset, models: Sequence[SpeechModel], mode: str, normalizer: str) -> Normalizer:
    if dataset.task != Task.STT:
        message = "This dataset is for text to speech. Choose one with audio to be transcribed."
        raise InvalidInput(message, field="dataset")
    if not dataset.samples.exists():
        raise InvalidInput("This dataset has no samples. Add audio to it first.", field="dataset")
    if not models:
        raise InvalidInput("Choose at least one model.", field="models")
    if mode not in MODES:
        raise InvalidInput(f"Unknown mode {mode!r}. Known: {', '.join(MODES)}.", field="mode")
    for model in models:
        if problem := problem_with(model, task=dataset.task, mode=mode):
            raise InvalidInput(f"{model.public_name}: {problem}", field="models")
    if len({model.pk for model in models}) < len(models):
        raise InvalidInput("Each model can be chosen once.", field="models")
    return get_normalizer(normalizer)


@dataclass(frozen=True)
class _SampleInput:
    """What a Result is created from: its sample, and the sample's seconds of audio."""

    sample_id: int
    audio_seconds: float


def _sample_inputs(dataset: Dataset) -> list[_SampleInput]:
    samples = Sample.objects.filter(dataset=dataset).order_by("pk")
    return [_SampleInput(*row) for row in samples.values_list("pk", "audio__duration")]


def _make_job(run: Run, model: SpeechModel, items: list[_SampleInput]) -> list[Shard]:
    in_batches = goes_in_batches(model, run.options["mode"])
    kind, size = (
        (Shard.Kind.BATCH, settings.BATCH_SHARD_SIZE) if in_batches else (Shard.Kind.DIRECT, settings.DIRECT_SHARD_SIZE)
    )
    job = Job.objects.create(
        run=run,
        model=model,
        model_name=model.public_name,
        prompt=run.options["prompt"] or default_prompt(model.provider.kind),
        total=len(items),
    )
    # As few shards as possible, equally long to within one sample, so that workers finish at about the same time.
    count = math.ceil(len(items) / size)
    shards = Shard.objects.bulk_create(Shard(job=job, index=index, kind=kind) for index in range(count))
    Result.objects.bulk_create(
        (
            Result(
                workspace_id=run.workspace_id,
                run=run,
                job=job,
                shard=shards[index * count // len(items)],
                sample_id=item.sample_id,
                audio_seconds=item.audio_seconds,
            )
            for index, item in enumerate(items)
        ),
        batch_size=BATCH,
    )
    return shards


@transaction.atomic
def cancel_run(*, run: Run) -> bool:
    """Cancel the run with its unfinished jobs and pending results. Returns False where it had ended before.

    Workers notice within seconds; answers that arrive meanwhile are not stored.
    """
    now = timezone.now()
    if not Run.objects.unfinished().filter(pk=run.pk).update(status=Status.CANCELLED, finished_at=now):
        return False
    jobs = list(Job.objects.unfinished().filter(run=run))
    Shard.objects.open().filter(job__in=jobs).update(state=Shard.State.CANCELLED, lease_token=None, lease_until=None)
    Result.objects.filter(run=run).pending().update(status=Result.Status.CANCELLED, reason="cancelled", finished_at=now)
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(status=Status.CANCELLED, finished_at=now)
    for job in jobs:
        refresh_counts(job)
    stop_batches(Batch.objects.of_run(run))
    release_files(run.pk)
    enqueue(RESCORE_TASK, run.pk, run.normalizer)  # scores what was completed before
    return True


@transaction.atomic
def retry_failed(*, run: Run) -> int:
    """Make the failed results of a finished run pending again. Returns how many. Raises Conflict."""
    failed = Result.objects.filter(run=run, status=Result.Status.FAILED)
    jobs = Job.objects.filter(run=run, pk__in=failed.values("job"))
    if not failed.exists():
        raise Conflict("No result of this run has failed.")
    if jobs.filter(model=None).exists():
        raise Conflict("A model of this run was deleted: its failed results cannot be tried again.")
    if not Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).update(status=Status.RUNNING, finished_at=None):
        raise Conflict("This run is still going on. Wait until it has ended.")
    job_ids = list(jobs.values_list("pk", flat=True))
    shards = Shard.objects.filter(pk__in=failed.values("shard"))
    shard_ids = list(shards.values_list("pk", flat=True))
    archive_attempts(failed)
    retried = failed.update(
        status=Result.Status.PENDING,
        reason="",
        error="",
        hypothesis="",
        latency=None,
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        attempts=0,
        failures=0,
        finished_at=None,
    )
    Shard.objects.filter(pk__in=shard_ids).update(
        state=Shard.State.OPEN, attempts=0, pending_at_claim=None, lease_token=None, lease_until=None
    )
    Job.objects.filter(pk__in=job_ids).update(status=Status.RUNNING, error="", finished_at=None, failed=0)
    queue_shards(shard_ids)
    return retried


def start_collecting(*, run: Run) -> None:
    """Queue `collect` for a worker. Raises Conflict."""
    _check_collectable(run)
    enqueue("evaluations.tasks.collect_run", run.pk)


def collect(*, run: Run) -> None:
    """Read the stored result files of the run's batches again; calls no provider. Raises Conflict."""
    _check_collectable(run)
    recollect(run)


def _check_collectable(run: Run) -> None:
    """Raise Conflict where the run is unfinished or has no stored result file."""
    if not run.is_finished:
        raise Conflict("This run is still going on. Wait until it has ended.")
    if not Batch.objects.of_run(run).with_output().exists():
        raise Conflict("No result file of a batch is kept for this run: there is nothing to collect from.")


def start_rescore(*, run: Run, normalizer: str) -> None:
    """Queue `rescore` for a worker. Raises UnknownNormalizer."""
    get_normalizer(normalizer)
    enqueue(RESCORE_TASK, run.pk, normalizer)


def rescore(*, run: Run, normalizer: str) -> None:
    """Score the run's results under the newest version of `normalizer`; calls no model. Raises UnknownNormalizer."""
    chosen = get_normalizer(normalizer)
    score_results(Result.objects.filter(run=run), chosen)


@transaction.atomic
def delete_run(*, run: Run) -> None:
    """Delete a finished run with its results and its batches' stored result files. Raises Conflict."""
    if not Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).exists():
        raise Conflict("This run is still going on. Cancel it first.")
    alive = run.uploads.alive()
    if refused_until := alive.refused().aggregate(last=Max("expires_at"))["last"]:
        by = timezone.localtime(refused_until)
        message = (
            f"The provider refuses to delete files of this run; they expire by {by:%Y-%m-%d %H:%M}. Try again then."
        )
        raise Conflict(message)
    if alive.exists():
        raise Conflict("Files of this run are still being deleted at the provider. Try again in a minute.")
    if Batch.objects.of_run(run).to_cancel().exists():
        raise Conflict("Batches of this run are still being stopped at the provider. Try again in a minute.")
    stored = [batch.output.name or batch.output_path for batch in Batch.objects.of_run(run)]
    run.delete()
    for name in stored:  # they hold what people said
        transaction.on_commit(partial(default_storage.delete, name))
