"""Shards of models that take samples one by one: calls fan out, each answer is stored as it comes."""

import logging
import time
from decimal import Decimal
from itertools import groupby

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from datasets.audio_source import StoredAudio
from evaluations.models import Attempt, Result
from evaluations.pipeline.calls import Outcome, transcribe
from evaluations.pipeline.fanout import FanOut, fan_out
from evaluations.pipeline.leases import Lease
from evaluations.querysets import ResultQuerySet
from providers.adapters.base import TranscriptionRequest, as_transcriber
from providers.models import SpeechModel
from providers.pricing import cost_of_audio
from providers.reasons import Reason
from providers.registry import adapter_for, model_config

logger = logging.getLogger(__name__)

# A worker that dies takes the samples it had taken up with it, and one of them may be why. Those that were taken up
# before are taken up in smaller groups, then alone, so that such a sample ends up failing by itself.
GROUP_SIZES = {0: 100, 1: 8}
CHECK_SECONDS = 2.0  # how soon a cancelled run stops calling


class LeaseLost(Exception):  # noqa: N818
    """The shard is no longer this worker's: the run was cancelled, or another worker has taken over."""


def work_direct(lease: Lease) -> bool:
    """Work on a direct shard for a slice of time. True where none of its results is pending any more.

    Raises LeaseLost; what was answered until then is stored.
    """
    pending = Result.objects.filter(shard=lease.shard).pending()
    model = lease.shard.job.model
    if model is None:
        fail_results(pending, Reason.MODEL_REMOVED, "The model was deleted before this sample was sent to it.")
        return True
    results = list(pending.for_calls())
    limit = settings.SHARD_MAX_ATTEMPTS
    lost = [result.pk for result in results if result.attempts >= limit]
    if lost:
        fail_results(pending.filter(pk__in=lost), Reason.WORKER_LOST, f"{limit} workers died while they worked on it.")
    return _Slice(lease, model).work([result for result in results if result.attempts < limit])


def fail_results(pending: ResultQuerySet, reason: Reason, message: str) -> int:
    """End pending results with one reason; how many there were."""
    return pending.update(status=Result.Status.FAILED, reason=reason, error=message, finished_at=timezone.now())


class _Slice:
    """One worker's time with a shard."""

    def __init__(self, lease: Lease, model: SpeechModel) -> None:
        self.lease = lease
        self.adapter = as_transcriber(adapter_for(model.provider))
        self.model = model_config(model)
        self.concurrency = model.provider.max_concurrency
        self.usd_per_minute = cost_of_audio(model, 60.0, timezone.localdate())
        self.options = lease.shard.job.run.options
        now = time.monotonic()
        self.ends_at = now + settings.SLICE_SECONDS
        self.check_at = now + CHECK_SECONDS

    def work(self, results: list[Result]) -> bool:
        """Call the model for `results`, least often taken up first. False where the time was over before the end."""
        with fan_out() as calls:
            for attempts, group in groupby(results, key=lambda result: result.attempts):
                in_time = self._work_group(calls, list(group), GROUP_SIZES.get(attempts, 1))
                self._await_calls(calls, leave=0)
                if not in_time:
                    return False
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
        return TranscriptionRequest(StoredAudio(sample.audio), language, self.options.get("prompt", ""))

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
        row.update(
            status=Result.Status.COMPLETED,
            reason="" if answer.text.strip() else Reason.EMPTY_OUTPUT,
            hypothesis=answer.text,
            latency=answer.processing_seconds,
            cost_usd=self._cost(outcome.audio_seconds),
            finished_at=timezone.now(),
        )

    def _cost(self, audio_seconds: float) -> Decimal | None:
        return None if self.usd_per_minute is None else self.usd_per_minute * Decimal(audio_seconds) / 60


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
