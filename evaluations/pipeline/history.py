"""What became of results before they are tried again."""

from django.db.models import Count, Exists, OuterRef

from evaluations.models import Attempt
from evaluations.querysets import ResultQuerySet

BATCH = 1000


def keep_history(failed: ResultQuerySet) -> None:
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
