"""When nothing needs a run's files at its providers any more."""

from django.db import transaction
from django.utils import timezone

from config.queue import enqueue
from evaluations.models import UNFINISHED, Batch, Job, Upload
from evaluations.querysets import BatchQuerySet

CLEAN_UP = "evaluations.tasks.clean_up"
FILE_HOURS = 48.0  # as long as providers keep a file


@transaction.atomic
def release_files(run_id: int) -> None:
    """Mark for deletion what no unfinished job of the run needs any more, and have it deleted."""
    busy = Job.objects.filter(run=run_id, status__in=UNFINISHED, model__isnull=False)
    unneeded = Upload.objects.alive().filter(run=run_id, delete_due_at=None)
    unneeded.exclude(provider__in=busy.values("model__provider")).update(delete_due_at=timezone.now())
    if (
        Upload.objects.alive().filter(run=run_id).exists()
        or Batch.objects.to_cancel().filter(shard__job__run=run_id).exists()
    ):
        enqueue(CLEAN_UP, run_id)


def stop_batches(batches: BatchQuerySet) -> None:
    """Note that those which have not ended are to be stopped at the provider, and end them here."""
    live = batches.live()
    live.exclude(create_sent_at=None).update(cancel_pending=True)
    live.update(state=Batch.State.ENDED, ended_at=timezone.now(), waiting_for="")
