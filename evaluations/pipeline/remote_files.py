"""When nothing needs a run's files at its providers any more."""

import hashlib
import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.queue import enqueue
from evaluations.choices import UNFINISHED
from evaluations.models import Batch, BatchQuerySet, Job, Run, Upload
from providers.models import Provider

CLEAN_UP = "evaluations.tasks.clean_up"
FILE_HOURS = 48.0  # as long as providers keep a file


def upload_name(run: Run, provider_id: int, subject: str, generation: int) -> str:
    """The name that a file has at the provider: 40 characters, the same for the same file, told by nobody else.

    Ids alone would not do: a database that was set back gives them out again, while the provider has files by them.
    """
    text = f"{run.pk}/{run.created_at.timestamp()}/{provider_id}/{subject}/{generation}"
    digest = hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"es-{digest[:37]}"


def note_output(batch: Batch, provider: Provider, name: str) -> None:
    """Write down that the provider has made a result file: to be fetched, and to be deleted."""
    Upload.objects.get_or_create(
        provider=provider,
        name=name.removeprefix("files/"),
        defaults={
            "run": batch.shard.job.run,
            "kind": Upload.Kind.OUTPUT,
            "batch": batch,
            "state": Upload.State.ACTIVE,
            "expires_at": timezone.now() + timedelta(hours=FILE_HOURS),
            "delete_due_at": batch.ended_at,
        },
    )


def settled(sent_at: datetime | None) -> bool:
    """Whether a call to create a batch that was sent then cannot be under way any more."""
    return sent_at is None or timezone.now() > sent_at + timedelta(seconds=1.5 * settings.PROVIDER_TIMEOUT_SECONDS)


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
