"""Describes what a run has at its providers: batches under way, and files."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count, Q

from evaluations.models import Batch, Run, Shard, Upload
from providers.limits import why_closed

State = Batch.State
ERRORS = 3  # of deletions, shown at most


@dataclass(frozen=True)
class Files:
    """Counts of the files that a run has put at its providers: alive + gone = total."""

    total: int
    alive: int  # exist at a provider, or may
    gone: int
    deletion_failures: int  # files alive whose deletion has failed so far and is retried
    deletion_errors: list[str]  # a few of their errors


@dataclass(frozen=True)
class Stage:
    """What is being done for an unfinished job, as a text for people."""

    text: str
    waiting_for: list[str] = field(default_factory=list)  # why it does not go on, such as a quota


def files_of(run: Run) -> Files:
    """Count the run's files. One query; one more where deletions have failed."""
    counts = run.uploads.aggregate(
        total=Count("pk"),
        gone=Count("pk", filter=Q(state=Upload.State.GONE)),
        deletion_failures=Count("pk", filter=~Q(state=Upload.State.GONE) & Q(delete_attempts__gt=0)),
    )
    errors: list[str] = []
    if counts["deletion_failures"]:
        failing = run.uploads.alive().exclude(delete_error="")
        errors = list(failing.order_by("delete_error").values_list("delete_error", flat=True).distinct()[:ERRORS])
    return Files(**counts, alive=counts["total"] - counts["gone"], deletion_errors=errors)


def batches_by_job(run: Run) -> dict[int, list[Batch]]:
    """Every batch of the run, ended ones too, by the job's id. One query."""
    batches: dict[int, list[Batch]] = {}
    for batch in Batch.objects.of_run(run):
        batches.setdefault(batch.shard.job_id, []).append(batch)
    return batches


def stages_of(run: Run) -> dict[int, Stage]:
    """Return the stage of each unfinished job with work under way, by job id. At most four queries."""
    if run.is_finished:
        return {}
    one_by_one = Shard.objects.open().filter(job__run=run, kind=Shard.Kind.DIRECT, job__started_at__isnull=False)
    providers = dict(one_by_one.order_by().values_list("job", "job__model__provider").distinct())
    reasons = why_closed(set(providers.values()))
    stages = {job: Stage("One by one", reasons.get(provider, [])) for job, provider in providers.items()}
    live: dict[int, list[Batch]] = {}
    for batch in Batch.objects.of_run(run).live():
        live.setdefault(batch.shard.job_id, []).append(batch)
    uploaded = _uploaded(run) if any(b.state == State.PREPARING for of_job in live.values() for b in of_job) else {}
    for job_id, batches in live.items():
        model = batches[0].shard.job.model
        texts = _texts(batches, uploaded.get(model.provider_id if model else None, (0, 0)))
        waiting_for = sorted({batch.waiting_for for batch in batches if batch.waiting_for})
        stages[job_id] = Stage("; ".join(texts), waiting_for)
    return stages


def _uploaded(run: Run) -> dict[int | None, tuple[int, int]]:
    """Count the run's audio by provider: (files uploaded or failed, files needed so far)."""
    needed = run.uploads.filter(kind=Upload.Kind.AUDIO, delete_due_at=None).order_by().values_list("provider")
    counts = needed.annotate(wanted=Count("pk"), through=Count("pk", filter=~Q(state=Upload.State.PLANNED)))
    return {provider: (through, wanted) for provider, wanted, through in counts}


def _texts(batches: list[Batch], uploaded: tuple[int, int]) -> list[str]:
    """Describe the states of one job's batches, in the order in which a batch goes through them."""
    there = Counter(batch.state for batch in batches)
    texts = []
    for state in (state for state in State if there[state]):
        text = str(state.label)
        if state == State.PREPARING:
            text += f": {uploaded[0]:,} of {uploaded[1]:,}"
        if state == State.SUBMITTED:
            text += f" ({', '.join(sorted({batch.remote_state for batch in batches if batch.state == state}))})"
        texts.append(text if there[state] == 1 else f"{text}, {there[state]} batches")
    return texts
