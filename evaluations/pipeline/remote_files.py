"""Names, records and releases what a run has at its providers: uploaded files, result files and batches."""

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

CLEAN_UP_TASK = "evaluations.tasks.clean_up"
FILE_HOURS = 48.0  # for which a provider keeps a file


def upload_name(run: Run, provider_id: int, subject: str, generation: int) -> str:
    """Return a file's name at the provider: 40 characters, always the same for one file, and impossible to guess.

    Ids alone would not do: a restored database uses them again, while the provider still has files of those names.
    """
    text = f"{run.pk}/{run.created_at.timestamp()}/{provider_id}/{subject}/{generation}"
    digest = hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"es-{digest[:37]}"


def record_output_file(batch: Batch, provider: Provider, name: str) -> None:
    """Store that the provider has made a result file, so that it is downloaded and later deleted."""
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


def create_call_has_ended(sent_at: datetime | None) -> bool:
    """Return whether a call to create a batch, sent at `sent_at`, must have ended by now; True where none was sent."""
    return sent_at is None or timezone.now() > sent_at + timedelta(seconds=1.5 * settings.PROVIDER_TIMEOUT_SECONDS)


@transaction.atomic
def release_files(run_id: int) -> None:
    """Mark the files that no unfinished job of the run needs as due for deletion, and queue the clean-up."""
    busy = Job.objects.filter(run=run_id, status__in=UNFINISHED, model__isnull=False)
    unneeded = Upload.objects.alive().filter(run=run_id, delete_due_at=None)
    unneeded.exclude(provider__in=busy.values("model__provider")).update(delete_due_at=timezone.now())
    if (
        Upload.objects.alive().filter(run=run_id).exists()
        or Batch.objects.to_cancel().filter(shard__job__run=run_id).exists()
    ):
        enqueue(CLEAN_UP_TASK, run_id)


def stop_batches(batches: BatchQuerySet) -> None:
    """End the live ones of `batches`, and mark those that may exist at the provider to be cancelled there."""
    live = batches.live()
    live.exclude(create_sent_at=None).update(cancel_pending=True)
    live.update(state=Batch.State.ENDED, ended_at=timezone.now(), waiting_for="")
