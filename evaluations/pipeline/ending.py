"""How results end."""

from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from evaluations.models import Job, Result
from evaluations.querysets import ResultQuerySet
from providers.adapters.base import ProviderError, Transcription
from providers.reasons import Reason
from providers.texts import storable

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


def ended_fields(answer: Transcription | ProviderError, cost_usd: Decimal | None) -> dict[str, object]:
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
    if answer.cut_off:
        return {**fields, "reason": Reason.CUT_OFF, "error": CUT_OFF}
    reason = "" if answer.text.strip() else Reason.EMPTY_OUTPUT
    return {**fields, "status": Result.Status.COMPLETED, "reason": reason}
