"""The tasks that workers run. The queue may deliver each one several times, also at the same time."""

from evaluations.models import Run
from evaluations.pipeline import batch, cleanup
from evaluations.pipeline.batch_output import recollect
from evaluations.pipeline.sweep import requeue_lost_work
from evaluations.pipeline.worker import work_on_shard
from evaluations.services import rescore


def work_shard(shard_id: int) -> None:
    """Work on a shard for a slice of time, and queue it again if something is left to do."""
    work_on_shard(shard_id)


def sweep() -> None:
    """Queue or finish the work of workers that died."""
    requeue_lost_work()


def rescore_run(run_id: int, normalizer: str) -> None:
    """Score a run's results under a normaliser; does nothing where the run was deleted meanwhile."""
    run = Run.objects.filter(pk=run_id).first()
    if run is not None:
        rescore(run=run, normalizer=normalizer)


def clean_up(run_id: int) -> None:
    """Delete what the run has at providers; queued again until nothing is left."""
    cleanup.clean_up_run(run_id)


def collect_run(run_id: int) -> None:
    """Read the stored result files of a run's batches again; does nothing where the run was deleted meanwhile."""
    run = Run.objects.filter(pk=run_id).first()
    if run is not None:
        recollect(run)


def help_with_uploads(shard_id: int) -> None:
    """Upload a shard's audio in parallel with the worker that holds the shard."""
    batch.help_with_uploads(shard_id)


def help_clean_up(run_id: int) -> None:
    """Delete a run's remote files in parallel with the worker that cleans up."""
    cleanup.delete_due_files(run_id)
