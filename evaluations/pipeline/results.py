"""How results end."""

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

BATCH = 1000


def archive_attempts(failed: ResultQuerySet) -> None:
    """Write down how each result failed, and what that has cost, where a failed call does not say it already."""
    said = Attempt.objects.filter(result=OuterRef("pk"), reason=OuterRef("reason"), error=OuterRef("error"))
    rows = failed.filter(~Exists(said)).annotate(tries=Count("failed_attempts")).order_by("pk")
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


MAX_CALLS = 3  # of a sample, where the fault may pass
MAX_CALLS_IN_OUTAGE = 8  # where the provider fails for every sample
BACKOFF_SECONDS = 0.5  # doubled with each failure
# Every sample would meet these: the first such answer ends the job.
ENDS_JOB = {Reason.INVALID_CREDENTIALS, Reason.QUOTA_EXHAUSTED}


def store_answer(result: Result, answer: Transcription, prices: PriceList) -> None:
    """One UPDATE, which does nothing where the result has ended otherwise in the meantime."""
    cost = prices.cost_of_call(result.audio_seconds, answer.input_tokens, answer.output_tokens)
    row = Result.objects.filter(pk=result.pk).pending()
    row.update(calls=F("calls") + 1, **result_fields(answer, cost))


def pause_before_next(result: Result, error: ProviderError, *, is_outage: bool) -> float | None:
    """Seconds before `result` is called again; None where it is not. `is_outage`: the provider fails for all."""
    if not error.retryable:
        return None
    if _is_told_to_wait(error):
        return 0.0  # the provider's gate is closed meanwhile
    limit = MAX_CALLS_IN_OUTAGE if is_outage else MAX_CALLS
    if result.failures + 1 >= limit:
        return None
    return exponential_backoff(result.failures, first=BACKOFF_SECONDS)


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


CUT_OFF = "The model stopped at its output limit: the text is not whole."


def fail_results(pending: ResultQuerySet, reason: str, message: str) -> int:
    """End pending results with one reason; how many there were."""
    return pending.pending().update(
        status=Result.Status.FAILED, reason=reason, error=message, finished_at=timezone.now()
    )


@transaction.atomic
def end_job(job: Job, reason: str, message: str) -> None:
    """End all that is pending of a job for a reason that every sample would meet, such as a key that is refused."""
    fail_results(Result.objects.filter(job=job), reason, message)
    Job.objects.filter(pk=job.pk).update(error=message)


def result_fields(answer: Transcription | ProviderError, cost_usd: Decimal | None) -> dict[str, object]:
    """The fields of a result that ends with this answer: {name: value}, the same ones for every answer.

    A text that was cut off is kept, but the result has failed: it would be scored for what the model never wrote.
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
        return {**fields, "reason": Reason.CUT_OFF, "error": CUT_OFF}
    reason = "" if answer.text.strip() else Reason.EMPTY_OUTPUT
    return {**fields, "status": Result.Status.COMPLETED, "reason": reason}
