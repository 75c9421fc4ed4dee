"""Shards of models that take samples one by one: calls fan out, each answer is stored as it comes."""

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
from evaluations.pipeline.uploads import Plan, Uploader, fail_without_upload, live_audio, plan_uploads
from providers.adapters.base import FileStore, RemoteAudio, TranscriptionRequest, as_transcriber
from providers.limits import SlotHolder
from providers.models import SpeechModel
from providers.pricing import price_list
from providers.reasons import Reason
from providers.registry import adapter_for, model_config

PATIENCE = 2.0  # seconds that a worker waits until a call may begin; then it turns to something else
LONGEST_WAIT = 60.0  # seconds until it looks again, whatever the provider has asked for: staff may have changed it
STOP_SECONDS = 6.0  # for calls under way to end where the worker is to stop
CHECK_SECONDS = 2.0  # how soon a cancelled run stops calling


def work_direct(lease: ShardLease, model: SpeechModel) -> float | None:
    """Work on a direct shard for a slice of time. Seconds until it is worth going on; None where none of its results
    is pending any more.

    Raises LeaseLost; what was answered until then is stored.
    """
    pending = Result.objects.filter(shard=lease.shard).pending()
    results = list(pending.for_calls())
    limit = settings.SHARD_MAX_ATTEMPTS
    lost = [result.pk for result in results if result.attempts >= limit]
    if lost:
        fail_results(pending.filter(pk__in=lost), Reason.WORKER_LOST, f"{limit} workers died while they worked on it.")
    piece = DirectRunner(lease, model)
    with closing(piece.share), fan_out() as calls:
        return piece.work([result for result in results if result.attempts < limit], calls)


class DirectRunner:
    """One worker's time with a shard."""

    def __init__(self, lease: ShardLease, model: SpeechModel) -> None:
        self.lease = lease
        self.adapter = as_transcriber(adapter_for(model.provider))
        self.model = model_config(model)
        self.provider = model.provider
        self.share = SlotHolder(model.provider.pk)
        self.prices = price_list(model, timezone.localdate())
        self.remote: dict[int, RemoteAudio] = {}
        self.options = lease.shard.job.run.options
        now = time.monotonic()
        self.ends_at = now + settings.SLICE_SECONDS
        self.check_at = now + CHECK_SECONDS
        self.give_up_at = math.inf
        self.could_call_at = now  # when a call was under way last, or could have begun

    def work(self, results: list[Result], calls: FanOut[Outcome]) -> float | None:
        """Call the model for `results`. Seconds until it is worth going on; None where nothing is left to do."""
        if not self._put_large_audio(results):
            return 0.0
        ready = (result for result in results if result.sample_id in self.remote or not self._wants_upload(result))
        retry_queue = RetryQueue(ready)
        self.could_call_at = time.monotonic()
        while retry_queue or calls.under_way:
            self._begin_calls(retry_queue, calls)
            pause = self._pause(calls)
            if pause is not None:
                retry_queue.release()
                return pause
            outcome = calls.next(timeout=min(self.share.seconds_to_look, retry_queue.seconds_to_next or 1.0))
            if outcome is not None:
                self._take_in(outcome, retry_queue)
            self._look_around()
        return None

    def _begin_calls(self, retry_queue: RetryQueue, calls: FanOut[Outcome]) -> None:
        """As many as may be under way now."""
        in_time = time.monotonic() < self.ends_at
        while self.share.ready(calls.under_way + (len(retry_queue) if in_time else 0)) and in_time:
            result = retry_queue.next(self.share.allocation.slots)
            if result is None:
                return
            self.share.begin()
            calls.submit(transcribe(result, self.adapter, self.model, self._request(result)))

    def _pause(self, calls: FanOut[Outcome]) -> float | None:
        """Seconds after which somebody should go on, where there is nothing to be waited for here."""
        now = time.monotonic()
        if now > self.give_up_at or (now >= self.ends_at and not calls.under_way):
            return 0.0
        if calls.under_way or self.share.has_room():
            self.could_call_at = now
            return None
        wait = max(self.share.wait, now - self.could_call_at)
        if wait <= PATIENCE:
            return None
        return spread(min(wait, LONGEST_WAIT), 1, 1.3)

    def _take_in(self, outcome: Outcome, retry_queue: RetryQueue) -> None:
        result, error = outcome.result, outcome.error
        retry_queue.ended(result)
        self.share.end(error, first=not result.failures)
        if outcome.transcription is not None:
            store_answer(result, outcome.transcription, self.prices)
        if error is None:
            return
        pause = pause_before_next(result, error, is_outage=self.share.allocation.is_failing)
        store_failure(outcome, error, ends=pause is None)
        if error.reason in ENDS_JOB:
            retry_queue.clear()
        elif pause is not None:
            retry_queue.requeue(result, pause)

    def _look_around(self) -> None:
        """Whether the work is still wanted, and still this worker's. Raises LeaseLost."""
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

    def _put_large_audio(self, results: list[Result]) -> bool:
        """Audio that cannot be sent along is put at the provider first; samples whose audio cannot be had fail.
        False where the time was over before the end."""
        sample_ids = [result.sample_id for result in results if self._wants_upload(result)]
        if not sample_ids or not isinstance(self.adapter, FileStore):
            return True
        job = self.lease.shard.job
        soon = timezone.now() + timedelta(hours=1)
        plan = Plan(run=job.run, provider=self.provider, sample_ids=sample_ids, alive_until=soon)
        plan_uploads(plan)
        with renewed(self.lease) as heartbeat:
            through = Uploader(plan, self.adapter, heartbeat.check, self.ends_at).work()
        fail_without_upload(plan, Result.objects.filter(shard=self.lease.shard).pending())
        if not through:
            return False
        for upload in live_audio(plan):
            self.remote[upload.sample_id or 0] = RemoteAudio(upload.uri, upload.mime_type)
        return True
