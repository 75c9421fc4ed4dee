"""How the outcome of a call is stored: each by itself, as it comes."""

import random

from django.db import transaction
from django.db.models import F

from evaluations.models import Attempt, Job, Result
from evaluations.pipeline.calls import Outcome
from evaluations.pipeline.ending import end_job, ended_fields, fail_results
from providers.adapters.base import ProviderError, Transcription
from providers.pricing import PriceList
from providers.reasons import Reason

MAX_CALLS = 3  # of a sample, where the fault may pass
MAX_CALLS_IN_OUTAGE = 8  # where the provider fails for every sample
BACKOFF_SECONDS = 0.5  # doubled with each failure
# Every sample would meet these: the first such answer ends the job.
ENDS_JOB = {Reason.INVALID_CREDENTIALS, Reason.QUOTA_EXHAUSTED}


def store_answer(result: Result, answer: Transcription, prices: PriceList) -> None:
    """One UPDATE, which does nothing where the result has ended otherwise in the meantime."""
    cost = prices.cost_of_call(result.audio_seconds, answer.input_tokens, answer.output_tokens)
    row = Result.objects.filter(pk=result.pk).pending()
    row.update(calls=F("calls") + 1, **ended_fields(answer, cost))


def pause_before_next(result: Result, error: ProviderError, *, is_outage: bool) -> float | None:
    """Seconds before `result` is called again; None where it is not. `is_outage`: the provider fails for all."""
    if not error.retryable:
        return None
    if _is_told_to_wait(error):
        return 0.0  # the provider's gate is closed meanwhile
    limit = MAX_CALLS_IN_OUTAGE if is_outage else MAX_CALLS
    if result.failures + 1 >= limit:
        return None
    return BACKOFF_SECONDS * 2**result.failures * random.uniform(0.5, 1.5)  # noqa: S311


def _is_told_to_wait(error: ProviderError) -> bool:
    """Such an answer says nothing about the sample: however often it comes, the sample does not fail of it."""
    return error.reason == Reason.RATE_LIMITED or bool(error.retry_after)


@transaction.atomic
def store_failure(outcome: Outcome, error: ProviderError, *, ends: bool) -> None:
    """Write the call down; with `ends` the result has failed of it. Nothing where the result has ended otherwise."""
    result = outcome.result
    if not ends and not _is_told_to_wait(error):
        result.failures += 1
    row = Result.objects.filter(pk=result.pk).pending()
    # The worker has outlived it: the attempt does not count.
    if not row.update(calls=F("calls") + 1, failures=result.failures, attempts=F("attempts") - (0 if ends else 1)):
        return
    Attempt.objects.create(
        result=result,
        number=result.failed_attempts.count() + 1,
        reason=error.reason,
        error=str(error),
        latency=outcome.latency,
    )
    if ends:
        fail_results(row, error.reason, str(error))
    if error.reason in ENDS_JOB:
        end_job(Job(pk=result.job_id), error.reason, str(error))
