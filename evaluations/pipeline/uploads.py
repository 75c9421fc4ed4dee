"""Uploads a run's audio to a provider: each file once, for all of the provider's models."""

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
STORE_SECONDS = 0.5  # after which outcomes are stored, however few they are
MAX_CALLS = 8  # for one file, after retryable errors
BACKOFF_SECONDS = 0.5  # doubled with each call, up to LONGEST_BACKOFF
LONGEST_BACKOFF = 8.0
RETRY_SECONDS = 180.0  # after the first call for a file, no other is started: a worker's time is limited
ACTIVE_SECONDS = 120.0  # seconds a provider may take to process a file
FLAC = "audio/flac"


@dataclass(frozen=True)
class UploadPlan:
    """The samples whose audio a shard needs at the provider, and until when."""

    run: Run
    provider: Provider
    sample_ids: list[int]
    alive_until: datetime  # files that expire earlier cannot be used


def plan_uploads(plan: UploadPlan) -> int:
    """Store a planned Upload for each sample without a usable file, before any call is made. Returns how many.

    Where a file is gone, was refused, or would expire too soon, its next generation is planned.
    """
    latest: dict[int, Upload] = {}
    for upload in _audio_uploads(plan).order_by("generation"):
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


def live_audio(plan: UploadPlan) -> UploadQuerySet:
    """Return the plan's uploads that can be used now: at most one for each sample."""
    return (
        _audio_uploads(plan)
        .filter(state=Upload.State.ACTIVE)
        .filter(Q(expires_at=None) | Q(expires_at__gte=plan.alive_until), delete_due_at=None)
    )


def fail_without_upload(plan: UploadPlan, pending: ResultQuerySet) -> None:
    """Fail the results whose audio could not be uploaded, each with the error of the last try. Results whose audio is
    still to be uploaded stay pending."""
    others = live_audio(plan).values("sample").union(_not_uploaded(plan).values("sample"))
    failed = _audio_uploads(plan).filter(state=Upload.State.FAILED).exclude(sample__in=others).order_by("-generation")
    for upload in failed:
        fail_results(pending.filter(sample=upload.sample_id), upload.reason, upload.error)


def _audio_uploads(plan: UploadPlan) -> UploadQuerySet:
    return Upload.objects.filter(
        run=plan.run, provider=plan.provider, kind=Upload.Kind.AUDIO, sample__in=plan.sample_ids
    )


def _not_uploaded(plan: UploadPlan) -> UploadQuerySet:
    """Return the plan's uploads that are still to be made, by this worker or another one."""
    return _audio_uploads(plan).planned().filter(delete_due_at=None)


def are_uploaded(plan: UploadPlan, *, within: float) -> bool:
    """Return whether all of the plan was uploaded or failed; waits `within` seconds for other workers' last files."""
    give_up_at = time.monotonic() + within
    while _not_uploaded(plan).exists():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True)
class _UploadOutcome:
    """The end of one upload; without file and fault it is still to be done."""

    upload: Upload
    file: RemoteFile | None = None
    fault: ProviderError | None = None


class Uploader:
    """Uploads the planned files, `UPLOAD_CONCURRENCY` at once. Several workers may share one plan.

    Outcomes are stored in groups: where a worker dies before, the next one finds the files at the provider by their
    names. `check` is called between groups, and raises LeaseLost where the work is not wanted any more.
    """

    def __init__(self, plan: UploadPlan, store: FileStore, check: Callable[[], None], ends_at: float) -> None:
        self.plan = plan
        self.store = store
        self.check = check
        self.ends_at = ends_at  # by time.monotonic()
        self.lease = Lease(Upload.objects.planned(), uuid4())
        self.unclaimed_ids = list(_not_uploaded(plan).free().values_list("pk", flat=True))  # uploads that may be free
        self.under_way = 0  # uploads claimed, whose outcome is not stored yet
        self.renew_at = 0.0  # by time.monotonic()
        self.outcomes: deque[_UploadOutcome] = deque()
        self.wake_at = 1  # how many outcomes wake the worker's thread up
        self.wake_up = threading.Event()
        self.stopped = threading.Event()

    def work(self) -> bool:
        """Upload until the plan is done or the time is over. Returns whether every file was uploaded or has failed.

        Uploads under way at the end are waited for; no other is started or repeated. Raises what `check` raises.
        """
        with ThreadPoolExecutor(settings.UPLOAD_CONCURRENCY, thread_name_prefix="upload") as threads:
            try:
                while self._keep_busy(threads):
                    self._store_outcomes()
            finally:
                self.stopped.set()
                threads.shutdown(cancel_futures=True)
                self._store(list(self.outcomes))
                self.lease.held().update(lease_token=None, lease_until=None)
        return not _not_uploaded(self.plan).exists()

    def _keep_busy(self, threads: ThreadPoolExecutor) -> bool:
        """Claim more uploads before the threads run out of them. Returns False where none is under way any more."""
        if self.under_way <= 4 * settings.UPLOAD_CONCURRENCY and time.monotonic() < self.ends_at:
            for upload in self._claim():
                threads.submit(self._upload, upload)
                self.under_way += 1
        return self.under_way > 0

    def _claim(self) -> list[Upload]:
        """Lease the next uploads that no other worker holds; empty where there are none.

        Claims get smaller towards the end, so that the workers finish at about the same time.
        """
        while self.unclaimed_ids:
            threads = settings.UPLOAD_CONCURRENCY
            at_once = threads * min(8, 1 + len(self.unclaimed_ids) // (8 * threads))
            planned = Upload.objects.planned().filter(pk__in=self.unclaimed_ids[:at_once], delete_due_at=None)
            del self.unclaimed_ids[:at_once]
            if claim(planned.free(), self.lease.token):
                claimed = planned.filter(lease_token=self.lease.token).select_related("sample__audio")
                return list(claimed.defer("sample__reference", "sample__audio__peaks"))
        return []

    def _store_outcomes(self) -> None:
        """Wait for a group of outcomes, STORE_SECONDS at most, and store it: to wake up for each one would cost as much
        as storing it."""
        spare = settings.UPLOAD_CONCURRENCY if self.unclaimed_ids else 0  # wake up early enough that no thread idles
        self.wake_up.clear()
        self.wake_at = min(GROUP, max(1, self.under_way - spare))
        if len(self.outcomes) < self.wake_at:
            self.wake_up.wait(STORE_SECONDS)
        batch = [self.outcomes.popleft() for _ in range(min(GROUP, len(self.outcomes)))]
        self.under_way -= len(batch)
        self._store(batch)
        self.check()

    @transaction.atomic
    def _store(self, batch: list[_UploadOutcome]) -> None:
        """Store outcomes in one transaction, except for uploads that this worker no longer holds; renew the lease
        of the others in time."""
        held = self.lease.held()
        ids = held.filter(pk__in=[one.upload.pk for one in batch]).select_for_update().values_list("pk", flat=True)
        mine = set(ids)
        update_rows(Upload, OUTCOME_FIELDS, [_field_values(one) for one in batch if one.upload.pk in mine])
        if time.monotonic() >= self.renew_at:
            held.update(lease_until=lease_end())
            self.renew_at = time.monotonic() + settings.SHARD_LEASE_SECONDS / 3

    def _upload(self, upload: Upload) -> None:
        """Upload one file and note its outcome. Runs in a thread of its own and uses no database."""
        self.outcomes.append(self._process(upload))
        if len(self.outcomes) >= self.wake_at:
            self.wake_up.set()

    def _process(self, upload: Upload) -> _UploadOutcome:
        if self.stopped.is_set() or time.monotonic() >= self.ends_at:
            return _UploadOutcome(upload)
        try:
            return self._attempt(upload)
        except Exception as error:
            logger.error("%s in upload %s:\n%s", type(error).__name__, upload.pk, place_of(error))
            fault = ProviderError(Reason.INTERNAL_ERROR, f"{type(error).__name__} in Earshot; see the worker's log.")
            return _UploadOutcome(upload, fault=fault)

    def _attempt(self, upload: Upload) -> _UploadOutcome:
        sample = upload.sample
        assert sample is not None  # noqa: S101  (audio uploads have one)
        assert sample.audio is not None  # noqa: S101  (samples of runs have audio)
        give_up_at = time.monotonic() + RETRY_SECONDS
        for number in range(1, MAX_CALLS + 1):
            try:
                return _UploadOutcome(upload, file=self._upload_file(upload, sample.audio))
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
                return _UploadOutcome(upload)
        return _UploadOutcome(upload, fault=fault)

    def _upload_file(self, upload: Upload, audio: Audio) -> RemoteFile:
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
            return wait_until_active(self.store, self.store.upload_file(upload.name, stream, size, upload.mime_type))


OUTCOME_FIELDS = ("state", "uri", "expires_at", "mime_type", "reason", "error", "lease_until")


def _field_values(outcome: _UploadOutcome) -> Row:
    """Return the values of OUTCOME_FIELDS, then the upload's id."""
    state, uri, expires_at, reason, error = Upload.State.PLANNED, "", None, "", ""
    if outcome.file is not None:
        state, uri, expires_at = Upload.State.ACTIVE, outcome.file.uri, outcome.file.expires_at
    elif outcome.fault is not None:
        state, reason, error = Upload.State.FAILED, outcome.fault.reason, str(outcome.fault)
    return state, uri, expires_at, outcome.upload.mime_type, reason, error, None, outcome.upload.pk


def wait_until_active(store: FileStore, file: RemoteFile) -> RemoteFile:
    """Return the file once the provider has processed it. Raises ProviderError where that fails or takes too long."""
    give_up_at = time.monotonic() + ACTIVE_SECONDS
    pause = 0.2
    current: RemoteFile | None = file
    while current is not None and current.state == "processing":
        if time.monotonic() > give_up_at:
            raise ProviderError(
                Reason.FILE_REFUSED, f"The provider was still processing the file after {ACTIVE_SECONDS:g} s."
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
