"""An import from claim to end, in a worker or in a command."""

import time
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.db.models import Sum

from core.leases import LeaseLost
from datasets.errors import InvalidImport
from datasets.importing.commit import fail, publish
from datasets.importing.leases import ImportLease, claim_import
from datasets.importing.sources import open_path, open_upload
from datasets.importing.staging import Report, Staging
from datasets.models import Import


def work_slice(claim: ImportLease) -> None:
    """Work on an uploaded import for about SLICE_SECONDS, then hand it on, unless it has ended."""
    if claim.parent.attempts > settings.SHARD_MAX_ATTEMPTS:
        fail(claim, f"The worker was lost {settings.SHARD_MAX_ATTEMPTS} times in a row at the same place.")
        remove_source(claim.parent)
        return
    try:
        _work_slice(claim)
    except LeaseLost:
        return
    except BaseException:
        claim.give_up()  # it is tried again, up to SHARD_MAX_ATTEMPTS times
        raise


def _work_slice(claim: ImportLease) -> None:
    parent = claim.parent
    unpacked = parent.lines.aggregate(size=Sum("audio__size"))["size"] or 0
    try:
        with parent.source.open("rb") as file, open_upload(cast(BinaryIO, file), unpacked) as source:
            staged = Staging(claim, source).run(until=time.monotonic() + settings.SLICE_SECONDS)
    except InvalidImport as error:
        fail(claim, error.message)
    else:
        if not staged:
            claim.hand_on()
            return
        publish(claim)
    remove_source(parent)


def work_here(parent: Import, path: Path, report: Report) -> None:
    """Run an import of files on this machine, from start to end, in this process."""
    claim = claim_import(parent.pk)
    if claim is None:
        raise LeaseLost
    try:
        with open_path(path) as source:
            Staging(claim, source, report).run(until=float("inf"))
        publish(claim)
    except InvalidImport as error:
        fail(claim, error.message)
    except BaseException:
        fail(claim, "The command that ran this import was stopped. Run it again.")
        raise


def remove_source(parent: Import) -> None:
    """Remove the uploaded file of an import that has ended."""
    parent.source.delete(save=False)
    Import.objects.filter(pk=parent.pk).update(source="")
