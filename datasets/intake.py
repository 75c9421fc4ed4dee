"""Stores audio: spools it to disk, hashes and probes it, then stores it once per workspace under its hash.

The file is stored before its row is written: after a crash between the two, the next upload of the same audio uses the
file that is there.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from accounts.models import Workspace
from core import temporary
from datasets.errors import AudioReason, InvalidAudio
from datasets.models import Audio
from datasets.probe import Probe
from datasets.probe_pool import probe_safely

CHUNK = 1024 * 1024  # bytes


@dataclass(frozen=True)
class StoredFile:
    """Audio in storage under `name`, whose row is still to be saved."""

    name: str
    sha256: str
    size: int
    probe: Probe


def ingest(workspace_id: int, file: BinaryIO) -> StoredFile:
    """Store audio from any stream. Uses no database, so that any thread may call it. Raises InvalidAudio."""
    with _spooled(file) as (path, sha256, size):
        probe = probe_safely(path, workspace_id=workspace_id)
        name = f"audio/{workspace_id}/{sha256[:2]}/{sha256}.{probe.extension}"
        _store(name, path, size)
    return StoredFile(name, sha256, size, probe)


def save_audio_rows(workspace: Workspace, stored: Iterable[StoredFile]) -> dict[str, Audio]:
    """Return the rows of stored files by hash; missing ones are created. Two callers at once get the same rows."""
    by_hash = {one.sha256: one for one in stored}
    rows = [_row(workspace, by_hash[sha256]) for sha256 in sorted(by_hash)]  # in one order: no deadlock
    Audio.objects.bulk_create(rows, ignore_conflicts=True)
    return {audio.sha256: audio for audio in Audio.objects.for_workspace(workspace).filter(sha256__in=by_hash)}


def _row(workspace: Workspace, stored: StoredFile) -> Audio:
    return Audio(
        workspace=workspace,
        sha256=stored.sha256,
        file=stored.name,
        size=stored.size,
        container=stored.probe.container,
        codec=stored.probe.codec,
        mime_type=stored.probe.mime_type,
        duration=stored.probe.duration,
        sample_rate=stored.probe.sample_rate,
        channels=stored.probe.channels,
        peaks=bytes.fromhex(stored.probe.peaks),
    )


@contextmanager
def _spooled(file: BinaryIO) -> Iterator[tuple[Path, str, int]]:
    """Copy `file` to disk while the block runs; yields path, SHA-256 and bytes. Raises InvalidAudio if too large."""
    limit = settings.MAX_AUDIO_MB * 1024 * 1024
    digest, size = hashlib.sha256(), 0
    handle, name = tempfile.mkstemp(dir=spool_folder())
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as spool:
            temporary.hold(handle)
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > limit:
                    raise InvalidAudio(
                        AudioReason.TOO_LARGE,
                        f"The file is larger than {settings.MAX_AUDIO_MB} MB (MAX_AUDIO_MB). Compress or split it.",
                    )
                digest.update(chunk)
                spool.write(chunk)
            spool.flush()
            yield path, digest.hexdigest(), size
    finally:
        path.unlink(missing_ok=True)


def spool_folder() -> Path:
    """Return the folder of spooled uploads: beside stored files that are on disk, so that storing is a rename."""
    try:
        folder = Path(default_storage.path("spool"))
    except NotImplementedError:
        return temporary.folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class _SpooledFile(File):  # type: ignore[type-arg]  # generic in its stub only
    """A file that the storage moves instead of copying it, so that it never exists in part under its final name."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def _store(name: str, path: Path, size: int) -> None:
    if default_storage.exists(name):
        return
    with path.open("rb") as stream:
        saved = default_storage.save(name, _SpooledFile(stream, str(path)))
    if saved != name:  # somebody stored the same audio at the same time, and the storage found another name
        default_storage.delete(saved)
