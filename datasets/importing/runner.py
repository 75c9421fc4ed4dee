"""Runs an import: in slices by workers, or from start to end in a command."""

import time
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.db.models import Sum

from core.leases import LeaseLost
from datasets.errors import InvalidImport
from datasets.importing.commit import commit_import, fail_import
from datasets.importing.leases import ImportLease, claim_import
from datasets.importing.sources import open_path, open_upload
from datasets.importing.staging import Report, Staging
from datasets.models import Import


def work_slice(lease: ImportLease) -> None:
    """Work on an uploaded import for about SLICE_SECONDS, then queue it again unless it has ended."""
    if lease.parent.attempts > settings.SHARD_MAX_ATTEMPTS:
        fail_import(lease, f"The worker was lost {settings.SHARD_MAX_ATTEMPTS} times in a row at the same place.")
        remove_source(lease.parent)
        return
    try:
        _work_slice(lease)
    except LeaseLost:
        return
    except BaseException:
        lease.expire()  # the sweep retries it, up to SHARD_MAX_ATTEMPTS times
        raise


def _work_slice(lease: ImportLease) -> None:
    parent = lease.parent
    unpacked = parent.lines.aggregate(size=Sum("audio__size"))["size"] or 0
    try:
        with parent.source.open("rb") as file, open_upload(cast(BinaryIO, file), unpacked) as source:
            staged = Staging(lease, source).run(until=time.monotonic() + settings.SLICE_SECONDS)
    except InvalidImport as error:
        fail_import(lease, error.message)
    else:
        if not staged:
            lease.requeue()
            return
        commit_import(lease)
    remove_source(parent)


def run_local_import(parent: Import, path: Path, report: Report) -> None:
    """Import files of this machine from start to end, in this process. Raises LeaseLost."""
    lease = claim_import(parent.pk)
    if lease is None:
        raise LeaseLost
    try:
        with open_path(path) as source:
            Staging(lease, source, report).run(until=float("inf"))
        commit_import(lease)
    except InvalidImport as error:
        fail_import(lease, error.message)
    except BaseException:
        fail_import(lease, "The command that ran this import was stopped. Run it again.")
        raise


def remove_source(parent: Import) -> None:
    """Delete the uploaded file of an import that has ended."""
    parent.source.delete(save=False)
    Import.objects.filter(pk=parent.pk).update(source="")
