"""Stores how each call and each result ended: answer, failure, reason and cost."""

from decimal import Decimal

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef
from django.utils import timezone

from core.backoff import exponential_backoff
from core.text import storable
from evaluations.models import Attempt, Job, Result, ResultQuerySet
from evaluations.pipeline.calls import Outcome
from providers.adapters.base import ProviderError, Transcription
from providers.pricing import PriceList
from providers.reasons import Reason

BATCH = 1000  # rows in a statement


def archive_attempts(failed: ResultQuerySet) -> None:
    """Store an Attempt for each failed result, with reason and cost, unless one with this reason and error exists."""
    recorded = Attempt.objects.filter(result=OuterRef("pk"), reason=OuterRef("reason"), error=OuterRef("error"))
    rows = failed.filter(~Exists(recorded)).annotate(tries=Count("failed_attempts")).order_by("pk")
    Attempt.objects.bulk_create(
        (
            Attempt(
                result_id=row.pk,
                number=row.tries + 1,
                reason=row.reason,
                error=row.error,
                latency=row.latency,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                cost_usd=row.cost_usd,
            )
            for row in rows.defer("hypothesis").iterator(chunk_size=BATCH)
        ),
        batch_size=BATCH,
    )


MAX_CALLS = 3  # for one sample, after errors that are retryable
MAX_CALLS_IN_OUTAGE = 8  # while the provider fails for every sample
BACKOFF_SECONDS = 0.5  # doubled with each failure
# Reasons that every sample of the job would fail for: the first such answer ends the job.
ENDS_JOB = {Reason.INVALID_CREDENTIALS, Reason.QUOTA_EXHAUSTED}


def store_answer(result: Result, answer: Transcription, prices: PriceList) -> None:
    """Complete a pending result with the answer, in one UPDATE; a result that has ended meanwhile is left alone."""
    cost = prices.cost_of_call(result.audio_seconds, answer.input_tokens, answer.output_tokens)
    row = Result.objects.filter(pk=result.pk).pending()
    row.update(calls=F("calls") + 1, **result_fields(answer, cost))


def pause_before_next(result: Result, error: ProviderError, *, is_outage: bool) -> float | None:
    """Return the seconds before `result` is called again; None where it is not.

    `is_outage` says that the provider fails for every sample now, which allows more calls.
    """
    if not error.retryable:
        return None
    if _is_rate_limited(error):
        return 0.0  # ProviderThrottle holds calls back until then
    limit = MAX_CALLS_IN_OUTAGE if is_outage else MAX_CALLS
    if result.failures + 1 >= limit:
        return None
    return exponential_backoff(result.failures, first=BACKOFF_SECONDS)


def _is_rate_limited(error: ProviderError) -> bool:
    """Return whether the provider asks to call later. Such an answer never counts as a failure of the sample."""
    return error.reason == Reason.RATE_LIMITED or bool(error.retry_after)


@transaction.atomic
def store_failure(outcome: Outcome, error: ProviderError, *, ends: bool) -> None:
    """Store a failed call as an Attempt; with `ends` the result fails. Ended results are left alone."""
    result = outcome.result
    if not ends and not _is_rate_limited(error):
        result.failures += 1
    row = Result.objects.filter(pk=result.pk).pending()
    # `attempts` counts claims that a worker may have died of; this worker is alive.
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


TRUNCATED_MESSAGE = "The model stopped at its output limit: the text is not whole."


def fail_results(pending: ResultQuerySet, reason: str, message: str) -> int:
    """Fail the pending ones of these results for one reason. Returns how many there were."""
    return pending.pending().update(
        status=Result.Status.FAILED, reason=reason, error=message, finished_at=timezone.now()
    )


@transaction.atomic
def end_job(job: Job, reason: str, message: str) -> None:
    """Fail all pending results of a job for a reason that holds for every sample, such as a refused key."""
    fail_results(Result.objects.filter(job=job), reason, message)
    Job.objects.filter(pk=job.pk).update(error=message)


def result_fields(answer: Transcription | ProviderError, cost_usd: Decimal | None) -> dict[str, object]:
    """Return the fields of a result that ends with this answer, {name: value}; the same names for every answer.

    A truncated text is stored, but the result fails: a score would count words that the model never got to write.
    """
    fields: dict[str, object] = {
        "status": Result.Status.FAILED,
        "reason": "",
        "error": "",
        "hypothesis": "",
        "latency": None,
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
        "finished_at": timezone.now(),
    }
    if isinstance(answer, ProviderError):
        return {**fields, "reason": answer.reason, "error": str(answer)}
    fields |= {
        "hypothesis": storable(answer.text),
        "latency": answer.processing_seconds,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": cost_usd,
    }
    if answer.truncated:
        return {**fields, "reason": Reason.CUT_OFF, "error": TRUNCATED_MESSAGE}
    reason = "" if answer.text.strip() else Reason.EMPTY_OUTPUT
    return {**fields, "status": Result.Status.COMPLETED, "reason": reason}
