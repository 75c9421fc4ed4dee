"""Shards of models that take samples one by one: calls fan out, each answer is stored as it comes."""

import logging
import time
from datetime import timedelta
from itertools import groupby

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from datasets.audio_source import StoredAudio
from evaluations.models import Attempt, Result
from evaluations.pipeline.calls import Outcome, transcribe
from evaluations.pipeline.ending import ended_fields, fail_results
from evaluations.pipeline.fanout import FanOut, fan_out
from evaluations.pipeline.keeping import kept
from evaluations.pipeline.leases import Lease, LeaseLost
from evaluations.pipeline.uploads import Plan, Uploader, fail_without_upload, live_audio, plan_uploads
from providers.adapters.base import FileStore, RemoteAudio, TranscriptionRequest, as_transcriber
from providers.models import SpeechModel
from providers.pricing import price_list
from providers.reasons import Reason
from providers.registry import adapter_for, model_config

logger = logging.getLogger(__name__)

# A worker that dies takes the samples it had taken up with it, and one of them may be why. Those that were taken up
# before are taken up in smaller groups, then alone, so that such a sample ends up failing by itself.
GROUP_SIZES = {0: 100, 1: 8}
CHECK_SECONDS = 2.0  # how soon a cancelled run stops calling


def work_direct(lease: Lease, model: SpeechModel) -> bool:
    """Work on a direct shard for a slice of time. True where none of its results is pending any more.

    Raises LeaseLost; what was answered until then is stored.
    """
    pending = Result.objects.filter(shard=lease.shard).pending()
    results = list(pending.for_calls())
    limit = settings.SHARD_MAX_ATTEMPTS
    lost = [result.pk for result in results if result.attempts >= limit]
    if lost:
        fail_results(pending.filter(pk__in=lost), Reason.WORKER_LOST, f"{limit} workers died while they worked on it.")
    return _Slice(lease, model).work([result for result in results if result.attempts < limit])


class _Slice:
    """One worker's time with a shard."""

    def __init__(self, lease: Lease, model: SpeechModel) -> None:
        self.lease = lease
        self.adapter = as_transcriber(adapter_for(model.provider))
        self.model = model_config(model)
        self.provider = model.provider
        self.concurrency = model.provider.max_concurrency
        self.prices = price_list(model, timezone.localdate())
        self.remote: dict[int, RemoteAudio] = {}
        self.options = lease.shard.job.run.options
        now = time.monotonic()
        self.ends_at = now + settings.SLICE_SECONDS
        self.check_at = now + CHECK_SECONDS

    def work(self, results: list[Result]) -> bool:
        """Call the model for `results`, least often taken up first. False where the time was over before the end."""
        if not self._put_large_audio(results):
            return False
        results = [result for result in results if result.sample_id in self.remote or not self._wants_upload(result)]
        with fan_out() as calls:
            for attempts, group in groupby(results, key=lambda result: result.attempts):
                in_time = self._work_group(calls, list(group), GROUP_SIZES.get(attempts, 1))
                self._await_calls(calls, leave=0)
                if not in_time:
                    return False
        return True

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
        with kept(self.lease) as keeper:
            through = Uploader(plan, self.adapter, keeper.check, self.ends_at).work()
        fail_without_upload(plan, Result.objects.filter(shard=self.lease.shard).pending())
        if not through:
            return False
        for upload in live_audio(plan):
            self.remote[upload.sample_id or 0] = RemoteAudio(upload.uri, upload.mime_type)
        return True

    def _work_group(self, calls: FanOut[Outcome], results: list[Result], size: int) -> bool:
        at_once = min(self.concurrency, size)
        for start in range(0, len(results), size):
            if time.monotonic() >= self.ends_at:
                return False
            taken = results[start : start + size]
            _count_attempt(taken, 1)
            for index, result in enumerate(taken):
                self._await_calls(calls, leave=at_once - 1)
                if time.monotonic() >= self.ends_at:
                    _count_attempt(taken[index:], -1)  # never begun
                    return False
                calls.submit(transcribe(result.pk, self.adapter, self.model, self._request(result)))
            if result.attempts:
                self._await_calls(calls, leave=0)
        return True

    def _request(self, result: Result) -> TranscriptionRequest:
        sample = result.sample
        language = self.options.get("language") or sample.language or sample.dataset.language
        assert sample.audio is not None  # noqa: S101  (start_run refuses datasets without audio)
        return TranscriptionRequest(
            StoredAudio(sample.audio), language, self.lease.shard.job.prompt, self.remote.get(sample.pk)
        )

    def _await_calls(self, calls: FanOut[Outcome], *, leave: int) -> None:
        """Store outcomes as they come, until at most `leave` calls are under way."""
        while calls.under_way > leave:
            outcome = calls.next(timeout=CHECK_SECONDS)
            if outcome is not None:
                self._store(outcome)
            if time.monotonic() >= self.check_at:
                self.check_at = time.monotonic() + CHECK_SECONDS
                if not self.lease.renew():
                    raise LeaseLost

    def _store(self, outcome: Outcome) -> None:
        if not outcome.failures:
            self._end_result(outcome)
            return
        with transaction.atomic():
            self._end_result(outcome)
            _record_failures(outcome)

    def _end_result(self, outcome: Outcome) -> None:
        """One UPDATE, which does nothing where the result has ended otherwise in the meantime."""
        row = Result.objects.filter(pk=outcome.result_id).pending()
        answer = outcome.transcription
        if answer is None:
            failure = outcome.failures[-1]
            fail_results(row, failure.reason, failure.message)
            return
        cost = self.prices.cost_of_call(outcome.audio_seconds, answer.input_tokens, answer.output_tokens)
        row.update(**ended_fields(answer, cost))


def _count_attempt(results: list[Result], change: int) -> None:
    """Count before the work that these results are taken up: what is not committed does not outlive the worker."""
    Result.objects.filter(pk__in=[result.pk for result in results]).update(attempts=F("attempts") + change)


def _record_failures(outcome: Outcome) -> None:
    before = Attempt.objects.filter(result=outcome.result_id).count()
    Attempt.objects.bulk_create(
        Attempt(
            result_id=outcome.result_id,
            number=number,
            reason=failure.reason,
            error=failure.message,
            latency=failure.latency,
        )
        for number, failure in enumerate(outcome.failures, start=before + 1)
    )
