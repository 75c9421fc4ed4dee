"""What is still at providers, over all runs: for those who look after the site."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from evaluations.models import UNFINISHED, Batch, Run, Upload
from evaluations.pipeline.cleanup import clean_up_run
from evaluations.pipeline.releasing import release_files


@dataclass(frozen=True)
class Leftover:
    """Files of one run that are, or may be, at one provider."""

    run_id: int
    run_status: str
    at: str | None  # the provider's name; None: it was deleted here, and nobody can delete the files
    files: int
    oldest: datetime
    expires: datetime | None  # when the last of them is gone by itself; None: not known
    deletion_failures: int


def leftovers() -> list[Leftover]:
    return [Leftover(**row) for row in Upload.objects.alive().by_run()]


def live_batches() -> list[Batch]:
    """Batches that have not ended, or are still to be stopped at the provider."""
    return list(Batch.objects.unsettled().select_related("shard__job__run").order_by("pk"))


def remove_leftovers() -> None:
    """Delete now what no unfinished run needs, whether or not deleting it has failed before; one try each."""
    over = Run.objects.exclude(status__in=UNFINISHED)
    for run_id in over.filter(pk__in=Upload.objects.alive().values("run")).values_list("pk", flat=True):
        release_files(run_id)
        of_run = Upload.objects.alive().filter(run=run_id)
        of_run.update(delete_due_at=timezone.now())
        left = None
        while (now_left := of_run.to_delete().count()) and now_left != left:
            left = now_left
            clean_up_run(run_id)
