"""Deletes a run's files and cancels its batches at the providers once nothing needs them; tries again until done."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from core.backoff import exponential_backoff
from core.leases import claim
from core.queue import enqueue
from evaluations.choices import UNFINISHED
from evaluations.models import Batch, BatchQuerySet, Run, Upload, UploadQuerySet
from evaluations.pipeline.batch import HELP_FROM
from evaluations.pipeline.remote_files import (
    CLEAN_UP_TASK,
    FILE_HOURS,
    create_call_has_ended,
    record_output_file,
    release_files,
)
from providers.adapters.base import BatchTranscriber, FileStore, ProviderError, as_batch_transcriber
from providers.models import Provider
from providers.reasons import Reason
from providers.registry import adapter_for

logger = logging.getLogger(__name__)

HELP_TASK = "evaluations.tasks.help_clean_up"
FILES_A_THREAD = 20  # that a worker claims at a time
LONGEST_PAUSE = 3600.0


def clean_up_run(run_id: int) -> None:
    """Cancel the run's batches and delete its files that are due; queue the next round where something is left.

    The pause before another try grows with each failure.
    """
    _cancel_at_providers(run_id)
    _mark_expired(run_id)
    if _due(run_id).count() > HELP_FROM:
        for _ in range(settings.Q_CLUSTER["workers"] - 1):
            enqueue(HELP_TASK, run_id)
    delete_due_files(run_id)
    next_due = _next_due(run_id)
    if next_due is not None:
        enqueue(CLEAN_UP_TASK, run_id, delay=next_due)


def delete_due_files(run_id: int) -> None:
    """Delete files that are due, for a slice of time; several workers may do so at once."""
    ends_at = time.monotonic() + settings.SLICE_SECONDS
    for provider in Provider.objects.filter(pk__in=_due(run_id).values("provider")):
        try:
            _Deleter(run_id, provider).work(ends_at)
        except ProviderError as error:  # there is no adapter for it, or no key
            for upload in _due(run_id).filter(provider=provider):
                _note_failure(upload, error)


def runs_to_clean_up() -> list[int]:
    """Return the ids of runs with overdue files or batches, whose clean-up task may be lost; for the sweep."""
    overdue = _overdue()
    files = Upload.objects.alive().free().filter(delete_due_at__lte=overdue)
    batches = Batch.objects.to_cancel().filter(ended_at__lte=overdue)
    return sorted({*files.values_list("run", flat=True), *batches.values_list("shard__job__run", flat=True)})


def _overdue() -> datetime:
    """Return the time before which whatever is due is left to the sweep: queued here too, tasks would pile up."""
    return timezone.now() - timedelta(seconds=settings.SWEEP_SECONDS)


def _due(run_id: int) -> UploadQuerySet:
    return Upload.objects.to_delete().filter(run=run_id)


def _batches_to_cancel(run_id: int) -> BatchQuerySet:
    return Batch.objects.to_cancel().filter(shard__job__run=run_id)


def _next_due(run_id: int) -> float | None:
    """Return the seconds until the next file or batch is due; None where none is left but what the sweep queues."""
    if _batches_to_cancel(run_id).filter(ended_at__gt=_overdue()).exists():
        return 5.0
    waiting = Upload.objects.alive().filter(run=run_id, provider__isnull=False, delete_due_at__gt=_overdue())
    first = waiting.order_by("delete_due_at").values_list("delete_due_at", "lease_until").first()
    if first is None:
        return None
    due_at = max(moment for moment in first if moment)
    return max(1.0, (due_at - timezone.now()).total_seconds())


def _cancel_at_providers(run_id: int) -> None:
    for batch in _batches_to_cancel(run_id):
        # Found by the batch's files: the job's model, and with it the provider, may have been deleted.
        provider = Provider.objects.filter(pk__in=batch.uploads.values("provider")).first()
        problem = ""
        try:
            is_stopped = provider is None or _cancel(batch, as_batch_transcriber(adapter_for(provider)), provider)
        except ProviderError as error:
            problem = f"Stopping it at the provider failed: {error}"
            is_stopped = not _may_be_cancelled_later(batch, error)
        Batch.objects.filter(pk=batch.pk).update(cancel_pending=not is_stopped, waiting_for=problem)


def _may_be_cancelled_later(batch: Batch, error: ProviderError) -> bool:
    """Return whether to try again: the error is retryable or the key may be replaced, and the batch may still run."""
    return not _has_expired(batch) and (error.retryable or error.reason == Reason.INVALID_CREDENTIALS)


def _has_expired(batch: Batch) -> bool:
    """Return whether the batch ended so long ago that the provider has given it up by itself."""
    return batch.ended_at is not None and batch.ended_at < timezone.now() - timedelta(hours=FILE_HOURS)


def _cancel(batch: Batch, adapter: BatchTranscriber, provider: Provider) -> bool:
    """Cancel the batch at the provider, and record the result file it has made, so that it is deleted.

    Returns False where the batch still runs, or may yet appear since the call to create it may still be under way.
    """
    names = [batch.remote_name] if batch.remote_name else [b.name for b in adapter.find_batches(batch.display_name)]
    is_stopped = bool(names) or create_call_has_ended(batch.create_sent_at)
    for name in names:
        adapter.cancel_batch(name)
        remote = adapter.get_batch(name)
        if remote is not None and remote.output_file:
            record_output_file(batch, provider, remote.output_file)
        is_stopped = is_stopped and (remote is None or remote.state != "running" or _has_expired(batch))
    return is_stopped


@dataclass(frozen=True)
class _Deletion:
    upload: Upload
    error: ProviderError | None


class _Deleter:
    """Deletes a run's due files at one provider, several at once."""

    def __init__(self, run_id: int, provider: Provider) -> None:
        self.run_id = run_id
        self.provider = provider
        self.store = adapter_for(provider)

    def work(self, ends_at: float) -> None:
        if not isinstance(self.store, FileStore):
            return
        with ThreadPoolExecutor(settings.UPLOAD_CONCURRENCY, thread_name_prefix="delete") as threads:
            while time.monotonic() < ends_at and (group := self._claim()):
                gone = []
                for deletion in threads.map(self._delete, group):
                    if deletion.error is None:
                        gone.append(deletion.upload.pk)
                    else:
                        _note_failure(deletion.upload, deletion.error)
                logger.info("run %s: %s files deleted, %s not", self.run_id, len(gone), len(group) - len(gone))
                now = timezone.now()
                Upload.objects.filter(pk__in=gone).update(
                    state=Upload.State.GONE, gone_at=now, delete_error="", lease_until=None
                )

    def _claim(self) -> list[Upload]:
        """Lease the next due files that no other worker holds; empty where nothing is due."""
        due = _due(self.run_id).filter(provider=self.provider)
        while ids := list(due.values_list("pk", flat=True)[: FILES_A_THREAD * settings.UPLOAD_CONCURRENCY]):
            if token := claim(due.filter(pk__in=ids)):
                mine = Upload.objects.filter(pk__in=ids, lease_token=token)
                return list(mine.only("name", "delete_attempts", "expires_at"))
        return []

    def _delete(self, upload: Upload) -> _Deletion:
        """Delete one file at the provider. Runs in a thread of its own and uses no database."""
        assert isinstance(self.store, FileStore)  # noqa: S101  (work() has looked)
        try:
            self.store.delete_file(upload.name)
        except ProviderError as error:
            return _Deletion(upload, error)
        return _Deletion(upload, None)


def _note_failure(upload: Upload, error: ProviderError) -> None:
    """Store the error and when to try again: after a growing pause, or when the file expires if deletion is refused."""
    pause = exponential_backoff(upload.delete_attempts, first=1.0, longest=LONGEST_PAUSE)
    due_at = timezone.now() + timedelta(seconds=pause)
    if error.reason == Reason.REQUEST_REFUSED and upload.expires_at:
        due_at = max(due_at, upload.expires_at)
    Upload.objects.filter(pk=upload.pk).update(
        delete_due_at=due_at,
        delete_attempts=upload.delete_attempts + 1,
        delete_error=str(error),
        lease_until=None,
    )


def _mark_expired(run_id: int) -> None:
    """Mark files as gone that the provider has deleted by itself by now."""
    now = timezone.now()
    # Without an expiry it is not known whether the upload ever succeeded. If it did, then within FILE_HOURS after it
    # was planned, so that the file has expired another FILE_HOURS later.
    unknown = Q(expires_at=None, created_at__lt=now - timedelta(hours=2 * FILE_HOURS))
    abandoned = Q(provider=None, expires_at=None, created_at__lt=now - timedelta(hours=FILE_HOURS)) | unknown
    expired = Upload.objects.alive().filter(Q(expires_at__lt=now) | abandoned, run=run_id, delete_due_at__isnull=False)
    expired.update(state=Upload.State.GONE, gone_at=now)


@dataclass(frozen=True)
class Leftover:
    """Files of one run that are, or may be, at one provider."""

    run_id: int
    run_status: str
    at: str | None  # the provider's name; None: the provider was deleted here, so that its files cannot be
    files: int
    oldest: datetime
    expires: datetime | None  # when the provider deletes the last of them; None: not known
    deletion_failures: int


def leftovers() -> list[Leftover]:
    """List the files that are, or may be, at providers, by run and provider."""
    return [Leftover(**row) for row in Upload.objects.alive().by_run()]


def live_batches() -> list[Batch]:
    """List the batches that have not ended, or are still to be cancelled at the provider."""
    return list(Batch.objects.live_or_to_cancel().select_related("shard__job__run").order_by("pk"))


def remove_leftovers() -> None:
    """Delete the files of all finished runs now, also those whose next try is not due yet; one try for each."""
    over = Run.objects.exclude(status__in=UNFINISHED)
    for run_id in over.filter(pk__in=Upload.objects.alive().values("run")).values_list("pk", flat=True):
        release_files(run_id)
        of_run = Upload.objects.alive().filter(run=run_id)
        of_run.update(delete_due_at=timezone.now())
        left = None
        while (now_left := of_run.to_delete().count()) and now_left != left:
            left = now_left
            clean_up_run(run_id)
