"""Stages the lines of an import: stores audio on every core, and rows in slices of one short transaction each.

Lines are staged in their order, so that a worker goes on with an import after the last staged line.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from dataclasses import replace

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max

from core.errors import EarshotError
from datasets.importing.leases import ImportLease
from datasets.importing.lines import Line, Opener, Source
from datasets.intake import StoredFile, ingest, save_audio_rows
from datasets.models import Audio, ImportLine, Sample, Task

LINES_A_SLICE = 50
SECONDS_A_SLICE = 2.0  # after which a slice is stored, however few lines it has
THREADS = os.cpu_count() or 1  # each waits for a decoding process

Pending = tuple[Line, Future[StoredFile] | None]
Staged = tuple[Line, StoredFile | None]
Report = Callable[[int, int, int], None]  # done, total, bad


class Staging:
    """Stages the lines of an import that are not staged yet, for one worker."""

    def __init__(self, lease: ImportLease, source: Source, report: Report | None = None) -> None:
        self._lease = lease
        self._source = source
        self._report = report
        self._parent = lease.parent
        self._done, self._bad = self._parent.done, self._parent.bad
        self._slice: list[Staged] = []
        self._stored_at = time.monotonic()

    def run(self, until: float) -> bool:
        """Stage lines until `time.monotonic()` passes `until`. Returns whether all lines are staged.

        Raises InvalidImport where the source cannot be read, LeaseLost where another worker has taken over.
        """
        if self._parent.total is None:
            self._parent.total = self._source.count()
            self._lease.renew(total=self._parent.total)
        waiting: deque[Pending] = deque()
        with ThreadPoolExecutor(THREADS) as threads:
            try:
                finished = self._submit_lines(waiting, threads, until)
                while waiting:
                    self._collect(*waiting.popleft())
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        self._store()
        return finished

    def _submit_lines(self, waiting: deque[Pending], threads: ThreadPoolExecutor, until: float) -> bool:
        after = self._parent.lines.aggregate(last=Max("number"))["last"] or 0
        for line in self._source.lines(after):
            waiting.append((line, self._submit(line, threads)))
            if len(waiting) > 2 * THREADS:
                self._collect(*waiting.popleft())
            if time.monotonic() > until:
                return False
        return True

    def _submit(self, line: Line, threads: ThreadPoolExecutor) -> Future[StoredFile] | None:
        if line.problem or line.audio is None or line.audio.open is None or self._parent.dataset.task == Task.TTS:
            return None
        return threads.submit(_ingest_audio, self._parent.dataset.workspace_id, line.audio.open)

    def _collect(self, line: Line, future: Future[StoredFile] | None) -> None:
        stored = None
        try:
            stored = self._wait(future) if future else None
        except EarshotError as error:
            if error.code == "invalid_import":  # of the archive as a whole, not of this line
                raise
            line = replace(line, problem=error.message)
        self._slice.append((line, stored))
        if len(self._slice) >= LINES_A_SLICE or time.monotonic() > self._stored_at + SECONDS_A_SLICE:
            self._store()

    def _wait(self, future: Future[StoredFile]) -> StoredFile:
        """Wait for the stored file, and renew the lease meanwhile. Raises InvalidAudio, LeaseLost."""
        while True:
            try:
                return future.result(timeout=settings.SHARD_LEASE_SECONDS / 3)
            except TimeoutError:
                self._lease.renew()

    def _store(self) -> None:
        """Store the slice's lines, the progress and the renewed lease in one transaction. Raises LeaseLost."""
        with transaction.atomic():
            rows = self._rows()
            ImportLine.objects.bulk_create(rows)
            bad = sum(1 for row in rows if row.problem)
            self._lease.renew(done=F("done") + len(rows), bad=F("bad") + bad, attempts=0)
        self._done, self._bad = self._done + len(rows), self._bad + bad
        self._slice, self._stored_at = [], time.monotonic()
        if self._report:
            self._report(self._done, self._parent.total or 0, self._bad)

    def _rows(self) -> list[ImportLine]:
        audio = self._audio()
        lines = [_with_audio(line, stored, audio, self._parent.dataset.task) for line, stored in self._slice]
        taken = _TakenKeys(self._parent.dataset_id, self._parent.pk, [line.key for line, _ in lines if line.key])
        return [self._row(replace(line, problem=line.problem or taken.problem_of(line)), row) for line, row in lines]

    def _audio(self) -> dict[str, Audio]:
        """Return the slice's audio rows by hash: of files stored now, and of hashes that lines name."""
        workspace = self._parent.dataset.workspace
        named = {line.audio.sha256 for line, _ in self._slice if line.audio and line.audio.sha256}
        known = Audio.objects.for_workspace(workspace).filter(sha256__in=named) if named else []
        return {a.sha256: a for a in known} | save_audio_rows(
            workspace, [stored for _, stored in self._slice if stored]
        )

    def _row(self, line: Line, audio: Audio | None) -> ImportLine:
        if line.problem:
            return ImportLine(parent=self._parent, number=line.number, name=line.name, problem=line.problem)
        return ImportLine(
            parent=self._parent,
            number=line.number,
            name=line.name,
            key=line.key,
            audio=audio,
            text=line.text,
            reference=line.reference,
            language=line.language,
            tags=line.tags,
        )


def _ingest_audio(workspace_id: int, open_audio: Opener) -> StoredFile:
    with open_audio() as file:
        return ingest(workspace_id, file)


def _with_audio(line: Line, stored: StoredFile | None, audio: dict[str, Audio], task: str) -> tuple[Line, Audio | None]:
    """Return the line with its audio, and with a problem where it does not fit the dataset's task."""
    named = line.audio.sha256 if line.audio else ""
    found = audio.get(stored.sha256 if stored else named)
    problem = line.problem or _mismatch(line, found, task)
    return replace(line, problem=problem), found


def _mismatch(line: Line, audio: Audio | None, task: str) -> str:
    """Return why the line does not fit a dataset of `task`; empty where it does."""
    if task == Task.TTS:
        if line.audio:
            return "The dataset is for text to speech: its samples are texts, without audio. Give the column text."
        return "" if line.text else "There is no text to be spoken. Give the column text."
    if line.text:
        return "The column text is what text to speech is to speak. Call what is said in the audio reference."
    if line.audio is None:
        return "The line names no audio file. Give the column file."
    if audio is None:
        return "The audio that this line names by its hash is not in this workspace. Import a zip with the audio."
    return ""


class _TakenKeys:
    """The keys that are taken: by samples of the dataset, and by earlier lines of the import."""

    def __init__(self, dataset_id: int, import_id: int, keys: list[str]) -> None:
        samples = Sample.objects.filter(dataset_id=dataset_id, key__in=keys)
        lines = ImportLine.objects.filter(parent_id=import_id, key__in=keys, problem="")
        self._where = {key: f"line {number}" for key, number in lines.values_list("key", "number")}
        self._where |= dict.fromkeys(samples.values_list("key", flat=True), "the dataset")

    def problem_of(self, line: Line) -> str:
        """Return why the line cannot have its key; empty where it can, and the key is then taken."""
        if line.problem:
            return ""
        if not line.key:
            return "The line has no key, and nothing that one could be made of. Give the column key."
        if where := self._where.get(line.key):
            return f"The key {line.key!r} is already in {where}. Give each line a key of its own."
        self._where[line.key] = f"line {line.number}"
        return ""
