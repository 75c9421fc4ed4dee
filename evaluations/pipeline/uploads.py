"""Audio of a run put at a provider: each file once for all of the provider's models, whoever comes first."""

import hashlib
import hmac
import os
import random
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from datasets.audio_source import StoredAudio
from datasets.errors import AudioRefused
from datasets.models import Audio
from datasets.transcoding import as_flac
from evaluations.models import Run, Upload
from evaluations.pipeline.ending import fail_results
from evaluations.pipeline.keeping import KeptLease
from evaluations.querysets import ResultQuerySet, UploadQuerySet
from providers.adapters.base import FileStore, ProviderError, RemoteFile
from providers.models import Provider
from providers.reasons import Reason

MAX_CALLS = 5
BACKOFF_SECONDS = 0.5
ACTIVE_WITHIN = 120.0  # seconds a provider may take to process a file
FLAC = "audio/flac"


def upload_name(run_id: int, provider_id: int, subject: str, generation: int) -> str:
    """The name that a file has at the provider: 40 characters, the same for the same file, told by nobody else."""
    text = f"{run_id}/{provider_id}/{subject}/{generation}"
    digest = hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"es-{digest[:37]}"


@dataclass(frozen=True)
class Plan:
    """What a shard needs uploaded."""

    run: Run
    provider: Provider
    sample_ids: list[int]
    alive_until: datetime  # files that expire earlier are no use


def plan_uploads(plan: Plan) -> None:
    """Write down a file to be uploaded for each sample that has none: no call was made yet.

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
                name=upload_name(plan.run.pk, plan.provider.pk, f"sample/{sample_id}", generation),
            )
            for sample_id, generation in missing
        ),
        ignore_conflicts=True,  # another model's shard may plan the same files at the same moment
    )


def _usable(upload: Upload, alive_until: datetime) -> bool:
    if upload.state == Upload.State.PLANNED:
        return True
    alive = upload.expires_at is None or upload.expires_at >= alive_until
    return upload.state == Upload.State.ACTIVE and upload.delete_due_at is None and alive


def live_audio(plan: Plan) -> UploadQuerySet:
    """The plan's files that can be used now: at most one for each sample."""
    return (
        _audio(plan)
        .filter(state=Upload.State.ACTIVE)
        .filter(Q(expires_at=None) | Q(expires_at__gte=plan.alive_until), delete_due_at=None)
    )


def fail_without_upload(plan: Plan, pending: ResultQuerySet) -> None:
    """End results whose audio could not be put at the provider, each with what became of it."""
    usable = live_audio(plan).values("sample")
    failed = _audio(plan).filter(state=Upload.State.FAILED).exclude(sample__in=usable).order_by("generation")
    for upload in failed:
        fail_results(pending.filter(sample=upload.sample_id), upload.reason, upload.error)


def _audio(plan: Plan) -> UploadQuerySet:
    return Upload.objects.filter(
        run=plan.run, provider=plan.provider, kind=Upload.Kind.AUDIO, sample__in=plan.sample_ids
    )


@dataclass(frozen=True)
class _Ended:
    """How one upload went."""

    upload: Upload
    file: RemoteFile | None = None
    fault: ProviderError | None = None


class Uploader:
    """Uploads what is planned, `UPLOAD_CONCURRENCY` files at once; each outcome is stored as it comes."""

    def __init__(self, plan: Plan, store: FileStore, lease: KeptLease, ends_at: float) -> None:
        self.plan = plan
        self.store = store
        self.lease = lease
        self.ends_at = ends_at  # by time.monotonic()
        self.token = uuid.uuid4()

    def work(self) -> bool:
        """True where nothing that the plan needs is still to be uploaded, by this worker or another one."""
        with ThreadPoolExecutor(settings.UPLOAD_CONCURRENCY, thread_name_prefix="upload") as threads:
            under_way: set[Future[_Ended]] = set()
            try:
                for upload in self._claimed():
                    under_way.add(threads.submit(self._upload, upload))
                    if len(under_way) >= settings.UPLOAD_CONCURRENCY:
                        under_way = self._store_ended(under_way)
                while under_way:
                    under_way = self._store_ended(under_way)
            finally:
                threads.shutdown(cancel_futures=True)
        return not _audio(self.plan).planned().exists()

    def _claimed(self) -> Iterable[Upload]:
        """Files that this worker is to upload, claimed a group at a time, until the slice's time is over."""
        while time.monotonic() < self.ends_at:
            free = _audio(self.plan).planned().free()
            ids = list(free.values_list("pk", flat=True)[: 4 * settings.UPLOAD_CONCURRENCY])
            lease_until = timezone.now() + timedelta(seconds=settings.SHARD_LEASE_SECONDS)
            if not free.filter(pk__in=ids).update(lease_token=self.token, lease_until=lease_until):
                return
            claimed = Upload.objects.planned().filter(pk__in=ids, lease_token=self.token)
            yield from claimed.select_related("sample__audio")

    def _store_ended(self, under_way: set[Future[_Ended]]) -> set[Future[_Ended]]:
        ended, rest = wait(under_way, return_when=FIRST_COMPLETED)
        for future in ended:
            self._store(future.result())
        self.lease.check()
        return rest

    def _store(self, ended: _Ended) -> None:
        row = Upload.objects.filter(pk=ended.upload.pk)
        if ended.file is not None:
            row.planned().update(
                state=Upload.State.ACTIVE,
                uri=ended.file.uri,
                expires_at=ended.file.expires_at,
                mime_type=ended.upload.mime_type,
                lease_until=None,
            )
        elif ended.fault is not None:
            row.planned().update(
                state=Upload.State.FAILED, reason=ended.fault.reason, error=str(ended.fault), lease_until=None
            )

    def _upload(self, upload: Upload) -> _Ended:
        """In a thread of its own; touches no row."""
        sample = upload.sample
        assert sample is not None  # noqa: S101  (audio uploads have one)
        assert sample.audio is not None  # noqa: S101  (samples of runs have audio)
        for number in range(1, MAX_CALLS + 1):
            try:
                return _Ended(upload, file=self._put(upload, sample.audio))
            except AudioRefused as error:
                fault = ProviderError(Reason.AUDIO_UNREADABLE, str(error))
            except OSError as error:
                fault = ProviderError(
                    Reason.AUDIO_UNREADABLE, f"The stored audio could not be read: {type(error).__name__}."
                )
            except ProviderError as error:
                fault = error
            if not fault.retryable or number == MAX_CALLS:
                break
            time.sleep(BACKOFF_SECONDS * 2 ** (number - 1) * random.uniform(0.5, 1.5))  # noqa: S311
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
            return _active(self.store, self.store.upload_file(upload.name, stream, size, upload.mime_type))


def _active(store: FileStore, file: RemoteFile) -> RemoteFile:
    """The file once the provider has processed it. Raises ProviderError where it fails to, or takes too long."""
    give_up_at = time.monotonic() + ACTIVE_WITHIN
    pause = 0.2
    current: RemoteFile | None = file
    while current is not None and current.state == "processing":
        if time.monotonic() > give_up_at:
            raise ProviderError(
                Reason.FILE_REFUSED, f"The provider was still processing the audio after {ACTIVE_WITHIN:g} s."
            )
        time.sleep(pause)
        pause = min(pause * 2, 10.0)
        current = store.get_file(file.name)
    if current is None:
        raise ProviderError(Reason.PROVIDER_ERROR, "The provider lost the audio after it was uploaded.", retryable=True)
    if current.state == "failed":
        raise ProviderError(
            Reason.FILE_REFUSED, f"The provider could not process the audio: {current.error or 'no reason given'}"
        )
    return current
