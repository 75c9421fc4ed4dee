"""Uploads the requests of a batch as one file: a line of JSON for each pending result."""

import tempfile
from datetime import timedelta
from typing import BinaryIO, cast

from django.db.models import Max
from django.utils import timezone

from core.leases import lease_end
from evaluations.models import Batch, Result, Upload
from evaluations.pipeline.remote_files import upload_name
from evaluations.pipeline.uploads import UploadPlan, live_audio, wait_until_active
from providers.adapters.base import BatchTranscriber, Instructions, RemoteAudio

MIME_TYPE = "application/json"


def live_input(batch: Batch) -> str:
    """Return the name of the input file of an earlier try to create the batch; empty where none can be used."""
    soon = timezone.now() + timedelta(hours=1)
    inputs = batch.uploads.filter(kind=Upload.Kind.INPUT, state=Upload.State.ACTIVE, delete_due_at=None)
    return inputs.exclude(expires_at__lt=soon).values_list("name", flat=True).last() or ""


def release_inputs(batch: Batch) -> None:
    """Mark the input files of earlier tries as due for deletion, also those whose upload may have failed."""
    inputs = batch.uploads.alive().filter(kind=Upload.Kind.INPUT, delete_due_at=None)
    inputs.update(delete_due_at=timezone.now())


def upload_input(batch: Batch, plan: UploadPlan, adapter: BatchTranscriber) -> str:
    """Write the requests to a temporary file and upload it. Returns its name at the provider. Raises ProviderError."""
    release_inputs(batch)
    generation = (batch.uploads.aggregate(last=Max("generation"))["last"] or 0) + 1
    name = upload_name(plan.run, plan.provider.pk, f"batch/{batch.pk}", generation)
    Upload.objects.create(
        run=plan.run,
        provider=plan.provider,
        kind=Upload.Kind.INPUT,
        batch=batch,
        generation=generation,
        name=name,
        mime_type=MIME_TYPE,
        lease_until=lease_end(),
    )
    with tempfile.TemporaryFile() as file:
        lines = cast(BinaryIO, file)
        _write_lines(batch, plan, adapter, lines)
        size = lines.tell()
        lines.seek(0)
        remote = wait_until_active(adapter, adapter.upload_file(name, lines, size, MIME_TYPE))
    Upload.objects.filter(provider=plan.provider, name=name).update(
        state=Upload.State.ACTIVE, uri=remote.uri, expires_at=remote.expires_at, lease_until=None
    )
    return name


def _write_lines(batch: Batch, plan: UploadPlan, adapter: BatchTranscriber, lines: BinaryIO) -> None:
    audio = {
        sample_id: RemoteAudio(uri, mime_type)
        for sample_id, uri, mime_type in live_audio(plan).values_list("sample", "uri", "mime_type")
    }
    results = Result.objects.filter(shard=batch.shard_id).pending().order_by("pk")
    rows = results.values_list("pk", "sample", "sample__language", "sample__dataset__language")
    run_language = plan.run.options.get("language", "")
    for result_id, sample_id, sample_language, dataset_language in rows.iterator(chunk_size=500):
        instructions = Instructions(run_language or sample_language or dataset_language, batch.shard.job.prompt)
        lines.write(adapter.batch_line(str(result_id), audio[sample_id], instructions))
