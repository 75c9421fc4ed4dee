"""Ends an import: creates all its samples in one transaction, or none."""

from collections.abc import Iterator

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from datasets.importing.leases import ImportLease
from datasets.models import Import, ImportLine, Sample

ROWS_AT_ONCE = 1000
TRIES = 3  # where others add samples with the same keys at the same moment


def commit_import(lease: ImportLease) -> None:
    """Create samples from the staged lines; fail the import where lines have problems and `skip_bad` is off."""
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                _commit(lease)
            return
        except IntegrityError:  # a key was taken between the check and the INSERT: check again
            continue
    fail_import(lease, "Somebody else adds samples with the same keys at the same time. Import again.")


def fail_import(lease: ImportLease, reason: str) -> None:
    """End the import without samples; lines with problems stay as its report."""
    with transaction.atomic():
        _end(lease, Import.Status.FAILED, reason)


def _commit(lease: ImportLease) -> None:
    _mark_taken_keys(lease)
    bad, total = lease.parent.lines.exclude(problem="").count(), lease.parent.lines.count()
    if bad and not lease.parent.skip_bad:
        _end(
            lease,
            Import.Status.FAILED,
            f"{bad} of {total} lines have problems, so nothing was imported. Correct them, or skip bad lines.",
        )
    elif bad == total:
        _end(lease, Import.Status.FAILED, "No line could be imported." if total else "There is nothing to import.")
    else:
        for lines in _in_slices(lease.parent):
            _make_samples(lease.parent.dataset_id, lines)
        _end(lease, Import.Status.COMPLETED)


def _mark_taken_keys(lease: ImportLease) -> None:
    """Give a problem to lines whose key a sample has got since they were staged."""
    taken = Sample.objects.filter(dataset_id=lease.parent.dataset_id).values("key")
    found = lease.parent.lines.filter(problem="", key__in=taken)
    marked = found.update(problem="The key is already in the dataset. Give each line a key of its own.")
    lease.update(bad=F("bad") + marked)


def _in_slices(parent: Import) -> Iterator[list[ImportLine]]:
    last = 0
    while lines := list(parent.lines.filter(problem="", number__gt=last).order_by("number")[:ROWS_AT_ONCE]):
        yield lines
        last = lines[-1].number


def _make_samples(dataset_id: int, lines: list[ImportLine]) -> None:
    """Create the samples of the lines; those whose audio the dataset already has are marked as duplicates."""
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


def _end(lease: ImportLease, status: Import.Status, error: str = "") -> None:
    lease.parent.lines.filter(problem="").delete()
    lease.release(status=status, error=error, finished_at=timezone.now())
