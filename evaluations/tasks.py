"""What workers do. Each function may be delivered more than once, and more than once at the same time."""

from evaluations.models import Run
from evaluations.pipeline import batch, cleanup
from evaluations.pipeline.batch_output import recollect
from evaluations.pipeline.sweep import take_up_lost_work
from evaluations.pipeline.worker import work_on_shard
from evaluations.services import rescore


def work_shard(shard_id: int) -> None:
    """Work on a shard for a slice of time, and queue it again if something is left to do."""
    work_on_shard(shard_id)


def sweep() -> None:
    """Take up what workers that died have left behind."""
    take_up_lost_work()


def rescore_run(run_id: int, normalizer: str) -> None:
    """Score a run's results under another normaliser; nothing where the run was deleted meanwhile."""
    run = Run.objects.filter(pk=run_id).first()
    if run is not None:
        rescore(run=run, normalizer=normalizer)


def clean_up(run_id: int) -> None:
    """Take away what the run has put at providers; queued again until nothing is left."""
    cleanup.clean_up_run(run_id)


def collect_run(run_id: int) -> None:
    """Read a run's kept result files again; nothing where the run was deleted meanwhile."""
    run = Run.objects.filter(pk=run_id).first()
    if run is not None:
        recollect(run)


def help_with_uploads(shard_id: int) -> None:
    """Upload beside the worker that holds the shard."""
    batch.help_with_uploads(shard_id)


def help_clean_up(run_id: int) -> None:
    """Delete a run's files beside the worker that cleans up after it."""
    cleanup.delete_due_files(run_id)
