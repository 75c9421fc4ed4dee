"""Runs shards of models that take samples one by one: many calls at once, each answer stored when it arrives."""

import math
import time
from contextlib import closing
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from core.backoff import spread
from core.leases import LeaseLost, renewed
from core.queue import is_stopping
from datasets.audio_source import StoredAudio
from evaluations.models import Result
from evaluations.pipeline.calls import Outcome, transcribe
from evaluations.pipeline.concurrency import FanOut, fan_out
from evaluations.pipeline.leases import ShardLease
from evaluations.pipeline.results import ENDS_JOB, fail_results, pause_before_next, store_answer, store_failure
from evaluations.pipeline.retry_queue import RetryQueue
from evaluations.pipeline.uploads import Uploader, UploadPlan, fail_without_upload, live_audio, plan_uploads
from providers.adapters.base import FileStore, RemoteAudio, TranscriptionRequest, as_transcriber
from providers.limits import SlotHolder
from providers.models import SpeechModel
from providers.pricing import price_list
from providers.reasons import Reason
from providers.registry import adapter_for, model_config

PATIENCE = 2.0  # seconds that a worker waits for a slot; then it requeues the shard and takes another task
LONGEST_WAIT = 60.0  # seconds until a requeued shard is tried again, whatever the provider asked for: limits may change
STOP_SECONDS = 6.0  # that calls under way have to end when the worker is told to stop
CHECK_SECONDS = 2.0  # between two checks whether the lease is still held, such as after a cancelled run


def work_direct(lease: ShardLease, model: SpeechModel) -> float | None:
    """Work on a direct shard for a slice of time.

    Returns the seconds after which to go on; None where no result of the shard is pending any more.
    Raises LeaseLost; answers that arrived before are stored.
    """
    pending = Result.objects.filter(shard=lease.shard).pending()
    results = list(pending.for_calls())
    limit = settings.SHARD_MAX_ATTEMPTS
    lost = [result.pk for result in results if result.attempts >= limit]
    if lost:
        fail_results(pending.filter(pk__in=lost), Reason.WORKER_LOST, f"{limit} workers died while they worked on it.")
    runner = DirectRunner(lease, model)
    with closing(runner.slot_holder), fan_out() as calls:
        return runner.work([result for result in results if result.attempts < limit], calls)


class DirectRunner:
    """Calls the model for a direct shard's results, for one slice of a worker's time."""

    def __init__(self, lease: ShardLease, model: SpeechModel) -> None:
        self.lease = lease
        self.adapter = as_transcriber(adapter_for(model.provider))
        self.model = model_config(model)
        self.provider = model.provider
        self.slot_holder = SlotHolder(model.provider.pk)
        self.prices = price_list(model, timezone.localdate())
        self.remote: dict[int, RemoteAudio] = {}
        self.options = lease.shard.job.run.options
        now = time.monotonic()
        self.ends_at = now + settings.SLICE_SECONDS
        self.check_at = now + CHECK_SECONDS
        self.give_up_at = math.inf
        self.last_callable_at = now  # when a call was last under way, or had a free slot

    def work(self, results: list[Result], calls: FanOut[Outcome]) -> float | None:
        """Call the model for `results`. Returns the seconds after which to go on; None where nothing is left to do."""
        if not self._upload_large_audio(results):
            return 0.0
        ready = (result for result in results if result.sample_id in self.remote or not self._wants_upload(result))
        retry_queue = RetryQueue(ready)
        self.last_callable_at = time.monotonic()
        while retry_queue or calls.under_way:
            self._start_calls(retry_queue, calls)
            pause = self._pause(calls)
            if pause is not None:
                retry_queue.release_claimed()
                return pause
            outcome = calls.next_outcome(
                timeout=min(self.slot_holder.seconds_to_look, retry_queue.seconds_until_due or 1.0)
            )
            if outcome is not None:
                self._store_outcome(outcome, retry_queue)
            self._check_still_wanted()
        return None

    def _start_calls(self, retry_queue: RetryQueue, calls: FanOut[Outcome]) -> None:
        """Start calls while the limits allow another one and the slice has time left."""
        in_time = time.monotonic() < self.ends_at
        while self.slot_holder.ready(calls.under_way + (len(retry_queue) if in_time else 0)) and in_time:
            result = retry_queue.claim_next(self.slot_holder.allocation.slots)
            if result is None:
                return
            self.slot_holder.begin()
            calls.submit(transcribe(result, self.adapter, self.model, self._request(result)))

    def _pause(self, calls: FanOut[Outcome]) -> float | None:
        """Return the seconds after which to go on with the shard where this slice should end; None to go on now."""
        now = time.monotonic()
        if now > self.give_up_at or (now >= self.ends_at and not calls.under_way):
            return 0.0
        if calls.under_way or self.slot_holder.has_room():
            self.last_callable_at = now
            return None
        wait = max(self.slot_holder.wait, now - self.last_callable_at)
        if wait <= PATIENCE:
            return None
        return spread(min(wait, LONGEST_WAIT), 1, 1.3)

    def _store_outcome(self, outcome: Outcome, retry_queue: RetryQueue) -> None:
        result, error = outcome.result, outcome.error
        retry_queue.mark_done(result)
        self.slot_holder.end(error, first=not result.failures)
        if outcome.transcription is not None:
            store_answer(result, outcome.transcription, self.prices)
        if error is None:
            return
        pause = pause_before_next(result, error, is_outage=self.slot_holder.allocation.is_failing)
        store_failure(outcome, error, ends=pause is None)
        if error.reason in ENDS_JOB:
            retry_queue.clear()
        elif pause is not None:
            retry_queue.requeue(result, pause)

    def _check_still_wanted(self) -> None:
        """Renew the lease, and end the slice soon where the worker is told to stop. Raises LeaseLost."""
        now = time.monotonic()
        if is_stopping() and self.give_up_at == math.inf:
            self.ends_at, self.give_up_at = min(now, self.ends_at), now + STOP_SECONDS
        if now >= self.check_at:
            self.check_at = now + CHECK_SECONDS
            if not self.lease.renew():
                raise LeaseLost

    # --- what is sent -----------------------------------------------------------------------------

    def _request(self, result: Result) -> TranscriptionRequest:
        sample = result.sample
        language = self.options.get("language") or sample.language or sample.dataset.language
        assert sample.audio is not None  # noqa: S101  (start_run refuses datasets without audio)
        return TranscriptionRequest(
            StoredAudio(sample.audio), language, self.lease.shard.job.prompt, self.remote.get(sample.pk)
        )

    def _wants_upload(self, result: Result) -> bool:
        audio = result.sample.audio
        store = self.adapter
        return isinstance(store, FileStore) and audio is not None and store.wants_upload(audio.mime_type, audio.size)

    def _upload_large_audio(self, results: list[Result]) -> bool:
        """Upload the audio that is too large for a request; fail the results whose audio cannot be uploaded.

        Returns False where the slice ended before every file was uploaded.
        """
        sample_ids = [result.sample_id for result in results if self._wants_upload(result)]
        if not sample_ids or not isinstance(self.adapter, FileStore):
            return True
        job = self.lease.shard.job
        soon = timezone.now() + timedelta(hours=1)
        plan = UploadPlan(run=job.run, provider=self.provider, sample_ids=sample_ids, alive_until=soon)
        plan_uploads(plan)
        with renewed(self.lease) as heartbeat:
            is_complete = Uploader(plan, self.adapter, heartbeat.check, self.ends_at).work()
        fail_without_upload(plan, Result.objects.filter(shard=self.lease.shard).pending())
        if not is_complete:
            return False
        for upload in live_audio(plan):
            self.remote[upload.sample_id or 0] = RemoteAudio(upload.uri, upload.mime_type)
        return True
