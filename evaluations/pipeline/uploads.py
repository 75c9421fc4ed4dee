"""Audio of a run put at a provider: each file once for all of the provider's models, whoever comes first."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.backoff import exponential_backoff
from core.leases import Lease, claim, lease_end
from core.sql import Row, update_rows
from core.tracebacks import place_of
from datasets.audio_source import StoredAudio
from datasets.errors import InvalidAudio
from datasets.models import Audio
from datasets.transcoding import as_flac
from evaluations.models import ResultQuerySet, Run, Upload, UploadQuerySet
from evaluations.pipeline.remote_files import upload_name
from evaluations.pipeline.results import fail_results
from providers.adapters.base import FileStore, ProviderError, RemoteFile
from providers.models import Provider
from providers.reasons import Reason

logger = logging.getLogger(__name__)

GROUP = 50  # outcomes stored at a time
STORE_SECONDS = 0.5
MAX_CALLS = 8  # of a file, where the fault may pass
BACKOFF_SECONDS = 0.5  # doubled with each call, up to LONGEST_BACKOFF
LONGEST_BACKOFF = 8.0
TRY_SECONDS = 180.0  # no call for a file begins later than that after its first: a worker's time is limited
ACTIVE_WITHIN = 120.0  # seconds a provider may take to process a file
FLAC = "audio/flac"


@dataclass(frozen=True)
class Plan:
    """What a shard needs uploaded."""

    run: Run
    provider: Provider
    sample_ids: list[int]
    alive_until: datetime  # files that expire earlier are no use


def plan_uploads(plan: Plan) -> int:
    """Write down a file to be uploaded for each sample that has none; how many. No call was made yet.

    A file that is gone, was refused, or would expire too soon is followed by its next generation.
    """
    latest: dict[int, Upload] = {}
    for upload in _audio(plan).order_by("generation"):
        latest[upload.sample_id or 0] = upload
    missing = [
        (sample_id, latest[sample_id].generation + 1 if sample_id in latest else 1)
        for sample_id in plan.sample_ids
        if sample_id not in latest or not _usable(latest[sample_id], plan.alive_until)
    ]
    Upload.objects.bulk_create(
        (
            Upload(
                run=plan.run,
                provider=plan.provider,
                kind=Upload.Kind.AUDIO,
                sample_id=sample_id,
                generation=generation,
                name=upload_name(plan.run, plan.provider.pk, f"sample/{sample_id}", generation),
            )
            for sample_id, generation in missing
        ),
        ignore_conflicts=True,  # another model's shard may plan the same files at the same moment
    )
    return len(missing)


def _usable(upload: Upload, alive_until: datetime) -> bool:
    if upload.delete_due_at is not None:
        return False
    alive = upload.expires_at is None or upload.expires_at >= alive_until
    return upload.state == Upload.State.PLANNED or (upload.state == Upload.State.ACTIVE and alive)


def live_audio(plan: Plan) -> UploadQuerySet:
    """The plan's files that can be used now: at most one for each sample."""
    return (
        _audio(plan)
        .filter(state=Upload.State.ACTIVE)
        .filter(Q(expires_at=None) | Q(expires_at__gte=plan.alive_until), delete_due_at=None)
    )


def fail_without_upload(plan: Plan, pending: ResultQuerySet) -> None:
    """End results whose audio could not be put at the provider, each with what became of the last try. Those that are
    still to be uploaded wait."""
    others = live_audio(plan).values("sample").union(_wanted(plan).values("sample"))
    failed = _audio(plan).filter(state=Upload.State.FAILED).exclude(sample__in=others).order_by("-generation")
    for upload in failed:
        fail_results(pending.filter(sample=upload.sample_id), upload.reason, upload.error)


def _audio(plan: Plan) -> UploadQuerySet:
    return Upload.objects.filter(
        run=plan.run, provider=plan.provider, kind=Upload.Kind.AUDIO, sample__in=plan.sample_ids
    )


def _wanted(plan: Plan) -> UploadQuerySet:
    """What of the plan is still to be uploaded, by whomever."""
    return _audio(plan).planned().filter(delete_due_at=None)


def are_uploaded(plan: Plan, *, within: float) -> bool:
    """Whether nothing of the plan is still to be uploaded; other workers have `within` seconds for their last files."""
    give_up_at = time.monotonic() + within
    while _wanted(plan).exists():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True)
class _Ended:
    """How one upload went; with neither file nor fault it is still to be done."""

    upload: Upload
    file: RemoteFile | None = None
    fault: ProviderError | None = None


class Uploader:
    """Uploads what is planned, `UPLOAD_CONCURRENCY` files at once. Several workers may be at it for one plan.

    Outcomes are stored some at a time: where a worker dies before, the next one finds the files by their names.
    `check` is called again and again, and raises where the work is not wanted any more.
    """

    def __init__(self, plan: Plan, store: FileStore, check: Callable[[], None], ends_at: float) -> None:
        self.plan = plan
        self.store = store
        self.check = check
        self.ends_at = ends_at  # by time.monotonic()
        self.lease = Lease(Upload.objects.planned(), uuid4())
        self.left = list(_wanted(plan).free().values_list("pk", flat=True))  # that may still be free
        self.under_way = 0  # claimed, and not stored yet
        self.renew_at = 0.0  # by time.monotonic()
        self.ended: deque[_Ended] = deque()
        self.enough = 1  # of those that have ended for this worker's thread to wake up
        self.are_enough = threading.Event()
        self.stopped = threading.Event()

    def work(self) -> bool:
        """True where nothing that the plan needs is still to be uploaded, by this worker or another one.

        Files that are under way when the time is over, or the work is not wanted any more, are waited for; none is
        begun, and no call for them is repeated where it is not wanted.
        """
        with ThreadPoolExecutor(settings.UPLOAD_CONCURRENCY, thread_name_prefix="upload") as threads:
            try:
                while self._keep_busy(threads):
                    self._store_outcomes()
            finally:
                self.stopped.set()
                threads.shutdown(cancel_futures=True)
                self._store(list(self.ended))
                self.lease.held().update(lease_token=None, lease_until=None)
        return not _wanted(self.plan).exists()

    def _keep_busy(self, threads: ThreadPoolExecutor) -> bool:
        """Give the threads more to do before they run out of it. False where nothing is under way any more."""
        if self.under_way <= 4 * settings.UPLOAD_CONCURRENCY and time.monotonic() < self.ends_at:
            for upload in self._claim():
                threads.submit(self._upload, upload)
                self.under_way += 1
        return self.under_way > 0

    def _claim(self) -> list[Upload]:
        """The next files that are nobody else's; none where there are no more. Fewer and fewer at the end, so that
        the workers come to it together."""
        while self.left:
            at_once = settings.UPLOAD_CONCURRENCY * min(8, 1 + len(self.left) // (8 * settings.UPLOAD_CONCURRENCY))
            planned = Upload.objects.planned().filter(pk__in=self.left[:at_once], delete_due_at=None)
            del self.left[:at_once]
            if claim(planned.free(), self.lease.token):
                claimed = planned.filter(lease_token=self.lease.token).select_related("sample__audio")
                return list(claimed.defer("sample__reference", "sample__audio__peaks"))
        return []

    def _store_outcomes(self) -> None:
        """Wait for some outcomes, not for long, and store them. To wake up for each of them would cost as much as to
        store it."""
        spare = settings.UPLOAD_CONCURRENCY if self.left else 0  # so that no thread waits for the next claim
        self.are_enough.clear()
        self.enough = min(GROUP, max(1, self.under_way - spare))
        if len(self.ended) < self.enough:
            self.are_enough.wait(STORE_SECONDS)
        batch = [self.ended.popleft() for _ in range(min(GROUP, len(self.ended)))]
        self.under_way -= len(batch)
        self._store(batch)
        self.check()

    @transaction.atomic
    def _store(self, batch: list[_Ended]) -> None:
        """Together; rows that have been taken out of this worker's hands in the meantime stay as they are.
        Those that are still under way are held for another lease in good time."""
        held = self.lease.held()
        ids = held.filter(pk__in=[ended.upload.pk for ended in batch]).select_for_update().values_list("pk", flat=True)
        mine = set(ids)
        update_rows(Upload, OUTCOME, [_outcome(ended) for ended in batch if ended.upload.pk in mine])
        if time.monotonic() >= self.renew_at:
            held.update(lease_until=lease_end())
            self.renew_at = time.monotonic() + settings.SHARD_LEASE_SECONDS / 3

    def _upload(self, upload: Upload) -> None:
        """In a thread of its own; touches no row."""
        self.ended.append(self._outcome_of(upload))
        if len(self.ended) >= self.enough:
            self.are_enough.set()

    def _outcome_of(self, upload: Upload) -> _Ended:
        if self.stopped.is_set() or time.monotonic() >= self.ends_at:
            return _Ended(upload)
        try:
            return self._tried(upload)
        except Exception as error:
            logger.error("%s in upload %s:\n%s", type(error).__name__, upload.pk, place_of(error))
            fault = ProviderError(Reason.INTERNAL_ERROR, f"{type(error).__name__} in Earshot; see the worker's log.")
            return _Ended(upload, fault=fault)

    def _tried(self, upload: Upload) -> _Ended:
        sample = upload.sample
        assert sample is not None  # noqa: S101  (audio uploads have one)
        assert sample.audio is not None  # noqa: S101  (samples of runs have audio)
        give_up_at = time.monotonic() + TRY_SECONDS
        for number in range(1, MAX_CALLS + 1):
            try:
                return _Ended(upload, file=self._put(upload, sample.audio))
            except InvalidAudio as error:
                fault = ProviderError(Reason.AUDIO_UNREADABLE, str(error))
            except OSError as error:
                fault = ProviderError(
                    Reason.AUDIO_UNREADABLE,
                    f"The stored audio could not be read: {type(error).__name__}.",
                    retryable=not isinstance(error, FileNotFoundError),
                )
            except ProviderError as error:
                fault = error
            if not fault.retryable or number == MAX_CALLS or time.monotonic() > give_up_at:
                break
            pause = exponential_backoff(number - 1, first=BACKOFF_SECONDS, longest=LONGEST_BACKOFF)
            if self.stopped.wait(pause):
                return _Ended(upload)
        return _Ended(upload, fault=fault)

    def _put(self, upload: Upload, audio: Audio) -> RemoteFile:
        source = StoredAudio(audio)
        if self.store.takes(source.mime_type):
            upload.mime_type, size = source.mime_type, source.size
            stream = source.open()
        else:
            upload.mime_type = FLAC
            stream = as_flac(source)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
        with closing(stream):
            return once_active(self.store, self.store.upload_file(upload.name, stream, size, upload.mime_type))


OUTCOME = ("state", "uri", "expires_at", "mime_type", "reason", "error", "lease_until")


def _outcome(ended: _Ended) -> Row:
    """The values of the fields OUTCOME, and the upload's id."""
    state, uri, expires_at, reason, error = Upload.State.PLANNED, "", None, "", ""
    if ended.file is not None:
        state, uri, expires_at = Upload.State.ACTIVE, ended.file.uri, ended.file.expires_at
    elif ended.fault is not None:
        state, reason, error = Upload.State.FAILED, ended.fault.reason, str(ended.fault)
    return state, uri, expires_at, ended.upload.mime_type, reason, error, None, ended.upload.pk


def once_active(store: FileStore, file: RemoteFile) -> RemoteFile:
    """The file once the provider has processed it. Raises ProviderError where it fails to, or takes too long."""
    give_up_at = time.monotonic() + ACTIVE_WITHIN
    pause = 0.2
    current: RemoteFile | None = file
    while current is not None and current.state == "processing":
        if time.monotonic() > give_up_at:
            raise ProviderError(
                Reason.FILE_REFUSED, f"The provider was still processing the file after {ACTIVE_WITHIN:g} s."
            )
        time.sleep(pause)
        pause = min(pause * 2, 10.0)
        current = store.get_file(file.name)
    if current is None:
        raise ProviderError(Reason.PROVIDER_ERROR, "The provider lost the file after it was uploaded.", retryable=True)
    if current.state == "failed":
        raise ProviderError(
            Reason.FILE_REFUSED, f"The provider could not process the file: {current.error or 'no reason given'}"
        )
    return current
