"""What we put at providers is taken away again when nothing needs it, however the run ended; until it is gone."""

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
from evaluations.pipeline.remote_files import CLEAN_UP, FILE_HOURS, note_output, release_files, settled
from providers.adapters.base import BatchTranscriber, FileStore, ProviderError, as_batch_transcriber
from providers.models import Provider
from providers.reasons import Reason
from providers.registry import adapter_for

logger = logging.getLogger(__name__)

HELP = "evaluations.tasks.help_clean_up"
ROUNDS = 20  # files for each thread that a worker claims at a time
LONGEST_PAUSE = 3600.0


def clean_up_run(run_id: int) -> None:
    """One round: stop batches, delete files. What is left is queued again, later and later while it fails."""
    _stop_at_providers(run_id)
    _expire(run_id)
    if _due(run_id).count() > HELP_FROM:
        for _ in range(settings.Q_CLUSTER["workers"] - 1):
            enqueue(HELP, run_id)
    delete_due_files(run_id)
    next_due = _next_due(run_id)
    if next_due is not None:
        enqueue(CLEAN_UP, run_id, delay=next_due)


def delete_due_files(run_id: int) -> None:
    """Delete what is due for a slice of time; several workers may be at it."""
    ends_at = time.monotonic() + settings.SLICE_SECONDS
    for provider in Provider.objects.filter(pk__in=_due(run_id).values("provider")):
        try:
            _Deleter(run_id, provider).work(ends_at)
        except ProviderError as error:  # it cannot be called at all
            for upload in _due(run_id).filter(provider=provider):
                _note_failure(upload, error)


def runs_to_clean_up() -> list[int]:
    """Runs with something due that may have no task on the queue: for the sweep."""
    overdue = _overdue()
    files = Upload.objects.alive().free().filter(delete_due_at__lte=overdue)
    batches = Batch.objects.to_cancel().filter(ended_at__lte=overdue)
    return sorted({*files.values_list("run", flat=True), *batches.values_list("shard__job__run", flat=True)})


def _overdue() -> datetime:
    """What was due before is the sweep's to take up: were it queued again here too, tasks would pile up."""
    return timezone.now() - timedelta(seconds=settings.SWEEP_SECONDS)


def _due(run_id: int) -> UploadQuerySet:
    return Upload.objects.to_delete().filter(run=run_id)


def _batches_to_cancel(run_id: int) -> BatchQuerySet:
    return Batch.objects.to_cancel().filter(shard__job__run=run_id)


def _next_due(run_id: int) -> float | None:
    """Seconds until something of the run is due again; None where nothing is left, or the sweep takes it up."""
    if _batches_to_cancel(run_id).filter(ended_at__gt=_overdue()).exists():
        return 5.0
    waiting = Upload.objects.alive().filter(run=run_id, provider__isnull=False, delete_due_at__gt=_overdue())
    first = waiting.order_by("delete_due_at").values_list("delete_due_at", "lease_until").first()
    if first is None:
        return None
    due_at = max(moment for moment in first if moment)
    return max(1.0, (due_at - timezone.now()).total_seconds())


def _stop_at_providers(run_id: int) -> None:
    for batch in _batches_to_cancel(run_id):
        # Asked of the requests' file: the model, by which the job knows its provider, may have been deleted.
        provider = Provider.objects.filter(pk__in=batch.uploads.values("provider")).first()
        problem = ""
        try:
            stopped = provider is None or _stop(batch, as_batch_transcriber(adapter_for(provider)), provider)
        except ProviderError as error:
            problem = f"Stopping it at the provider failed: {error}"
            stopped = not _may_be_stopped_later(batch, error)
        Batch.objects.filter(pk=batch.pk).update(cancel_pending=not stopped, waiting_for=problem)


def _may_be_stopped_later(batch: Batch, error: ProviderError) -> bool:
    """A key that is refused may be a new one soon; but by then the provider has given the batch up by itself."""
    return not _is_over(batch) and (error.retryable or error.reason == Reason.INVALID_CREDENTIALS)


def _is_over(batch: Batch) -> bool:
    """Whether the provider must have given the batch up by itself."""
    return batch.ended_at is not None and batch.ended_at < timezone.now() - timedelta(hours=FILE_HOURS)


def _stop(batch: Batch, adapter: BatchTranscriber, provider: Provider) -> bool:
    """False where it may go on, or may yet appear at the provider: a call to create it may still be under way.

    What it has made until it stops is deleted with the run's other files.
    """
    names = [batch.remote_name] if batch.remote_name else [b.name for b in adapter.find_batches(batch.display_name)]
    stopped = bool(names) or settled(batch.create_sent_at)
    for name in names:
        adapter.cancel_batch(name)
        remote = adapter.get_batch(name)
        if remote is not None and remote.output_file:
            note_output(batch, provider, remote.output_file)
        stopped = stopped and (remote is None or remote.state != "running" or _is_over(batch))
    return stopped


@dataclass(frozen=True)
class _Tried:
    upload: Upload
    error: ProviderError | None


class _Deleter:
    """Deletes a run's due files at one provider, many at once."""

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
                for tried in threads.map(self._delete, group):
                    if tried.error is None:
                        gone.append(tried.upload.pk)
                    else:
                        _note_failure(tried.upload, tried.error)
                logger.info("run %s: %s files deleted, %s not", self.run_id, len(gone), len(group) - len(gone))
                now = timezone.now()
                Upload.objects.filter(pk__in=gone).update(
                    state=Upload.State.GONE, gone_at=now, delete_error="", lease_until=None
                )

    def _claim(self) -> list[Upload]:
        """The next files that are nobody else's; none where nothing is due."""
        due = _due(self.run_id).filter(provider=self.provider)
        while ids := list(due.values_list("pk", flat=True)[: ROUNDS * settings.UPLOAD_CONCURRENCY]):
            if token := claim(due.filter(pk__in=ids)):
                mine = Upload.objects.filter(pk__in=ids, lease_token=token)
                return list(mine.only("name", "delete_attempts", "expires_at"))
        return []

    def _delete(self, upload: Upload) -> _Tried:
        """In a thread of its own; touches no row."""
        assert isinstance(self.store, FileStore)  # noqa: S101  (work() has looked)
        try:
            self.store.delete_file(upload.name)
        except ProviderError as error:
            return _Tried(upload, error)
        return _Tried(upload, None)


def _note_failure(upload: Upload, error: ProviderError) -> None:
    """Try again later; what the provider refuses to delete at all, when it has expired."""
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


def _expire(run_id: int) -> None:
    """Files whose time at the provider is over are gone by themselves."""
    now = timezone.now()
    # It is not known whether they ever came to be; if so, then within the first of these spans.
    unknown = Q(expires_at=None, created_at__lt=now - timedelta(hours=2 * FILE_HOURS))
    abandoned = Q(provider=None, expires_at=None, created_at__lt=now - timedelta(hours=FILE_HOURS)) | unknown
    expired = Upload.objects.alive().filter(Q(expires_at__lt=now) | abandoned, run=run_id, delete_due_at__isnull=False)
    expired.update(state=Upload.State.GONE, gone_at=now)


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
