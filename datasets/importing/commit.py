"""The end of an import: all its samples in one transaction, or none."""

from collections.abc import Iterator

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from datasets.importing.leases import ImportLease
from datasets.models import Import, ImportLine, Sample

ROWS_AT_ONCE = 1000
TRIES = 3  # against samples that are added by others in the same moment


def publish(claim: ImportLease) -> None:
    """Turn the staged lines into samples, unless there are problems and these are not to be skipped."""
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                _publish(claim)
            return
        except IntegrityError:  # a key was taken between the look and the insert: look again
            continue
    fail(claim, "Somebody else adds samples with the same keys at the same time. Import again.")


def fail(claim: ImportLease, reason: str) -> None:
    """End the import without a sample; lines with problems stay as the report."""
    with transaction.atomic():
        _end(claim, Import.Status.FAILED, reason)


def _publish(claim: ImportLease) -> None:
    _mark_taken_keys(claim)
    bad, total = claim.parent.lines.exclude(problem="").count(), claim.parent.lines.count()
    if bad and not claim.parent.skip_bad:
        _end(
            claim,
            Import.Status.FAILED,
            f"{bad} of {total} lines have problems, so nothing was imported. Correct them, or skip bad lines.",
        )
    elif bad == total:
        _end(claim, Import.Status.FAILED, "No line could be imported." if total else "There is nothing to import.")
    else:
        for lines in _in_slices(claim.parent):
            _make_samples(claim.parent.dataset_id, lines)
        _end(claim, Import.Status.COMPLETED)


def _mark_taken_keys(claim: ImportLease) -> None:
    """Keys that the dataset has got since the lines were staged."""
    taken = Sample.objects.filter(dataset_id=claim.parent.dataset_id).values("key")
    found = claim.parent.lines.filter(problem="", key__in=taken)
    marked = found.update(problem="The key is already in the dataset. Give each line a key of its own.")
    claim.update(bad=F("bad") + marked)


def _in_slices(parent: Import) -> Iterator[list[ImportLine]]:
    last = 0
    while lines := list(parent.lines.filter(problem="", number__gt=last).order_by("number")[:ROWS_AT_ONCE]):
        yield lines
        last = lines[-1].number


def _make_samples(dataset_id: int, lines: list[ImportLine]) -> None:
    """Samples of the lines, flagged where the dataset has their audio already."""
    ids = {line.audio_id for line in lines if line.audio_id}
    seen = set(Sample.objects.filter(dataset_id=dataset_id, audio_id__in=ids).values_list("audio_id", flat=True))
    samples = []
    for line in lines:
        samples.append(
            Sample(
                dataset_id=dataset_id,
                key=line.key,
                audio_id=line.audio_id,
                text=line.text,
                reference=line.reference,
                language=line.language,
                tags=line.tags,
                is_duplicate=line.audio_id in seen,
            )
        )
        if line.audio_id:
            seen.add(line.audio_id)
    Sample.objects.bulk_create(samples)


def _end(claim: ImportLease, status: Import.Status, error: str = "") -> None:
    claim.parent.lines.filter(problem="").delete()
    claim.release(status=status, error=error, finished_at=timezone.now())
