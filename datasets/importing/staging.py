"""Takes in the lines of an import: audio on every core, rows in slices, each slice one short transaction.

Lines are staged in their order, so whoever goes on with an import begins behind the last staged line.
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
SECONDS_A_SLICE = 2.0  # at most between two looks at the progress
THREADS = os.cpu_count() or 1  # the decoding itself is done by as many processes

Pending = tuple[Line, Future[StoredFile] | None]
Staged = tuple[Line, StoredFile | None]
Report = Callable[[int, int, int], None]  # done, total, bad


class Staging:
    """One worker's pass over the lines that are not staged yet."""

    def __init__(self, claim: ImportLease, source: Source, report: Report | None = None) -> None:
        self._claim = claim
        self._source = source
        self._report = report
        self._parent = claim.parent
        self._done, self._bad = self._parent.done, self._parent.bad
        self._slice: list[Staged] = []
        self._stored_at = time.monotonic()

    def run(self, until: float) -> bool:
        """Stage lines until all are (True), or `time.monotonic()` passes `until` (False).

        Raises InvalidImport where the source cannot be read on, LeaseLost where another worker has taken over.
        """
        if self._parent.total is None:
            self._parent.total = self._source.count()
            self._claim.renew(total=self._parent.total)
        waiting: deque[Pending] = deque()
        with ThreadPoolExecutor(THREADS) as threads:
            try:
                finished = self._take(waiting, threads, until)
                while waiting:
                    self._finish(*waiting.popleft())
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        self._store()
        return finished

    def _take(self, waiting: deque[Pending], threads: ThreadPoolExecutor, until: float) -> bool:
        after = self._parent.lines.aggregate(last=Max("number"))["last"] or 0
        for line in self._source.lines(after):
            waiting.append((line, self._begin(line, threads)))
            if len(waiting) > 2 * THREADS:
                self._finish(*waiting.popleft())
            if time.monotonic() > until:
                return False
        return True

    def _begin(self, line: Line, threads: ThreadPoolExecutor) -> Future[StoredFile] | None:
        if line.problem or line.audio is None or line.audio.open is None or self._parent.dataset.task == Task.TTS:
            return None
        return threads.submit(_take_in, self._parent.dataset.workspace_id, line.audio.open)

    def _finish(self, line: Line, future: Future[StoredFile] | None) -> None:
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
        """The future's result; a file that takes long must not cost the lease."""
        while True:
            try:
                return future.result(timeout=settings.SHARD_LEASE_SECONDS / 3)
            except TimeoutError:
                self._claim.renew()

    def _store(self) -> None:
        """Commit what was taken in since the last time, and that the import goes on."""
        with transaction.atomic():
            rows = self._rows()
            ImportLine.objects.bulk_create(rows)
            bad = sum(1 for row in rows if row.problem)
            self._claim.renew(done=F("done") + len(rows), bad=F("bad") + bad, attempts=0)
        self._done, self._bad = self._done + len(rows), self._bad + bad
        self._slice, self._stored_at = [], time.monotonic()
        if self._report:
            self._report(self._done, self._parent.total or 0, self._bad)

    def _rows(self) -> list[ImportLine]:
        audio = self._audio()
        lines = [_judged(line, stored, audio, self._parent.dataset.task) for line, stored in self._slice]
        taken = _TakenKeys(self._parent.dataset_id, self._parent.pk, [line.key for line, _ in lines if line.key])
        return [self._row(replace(line, problem=line.problem or taken.claim(line)), row) for line, row in lines]

    def _audio(self) -> dict[str, Audio]:
        """The audio rows of this slice, by hash: what came in now, and what lines name by hash."""
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


def _take_in(workspace_id: int, open_audio: Opener) -> StoredFile:
    with open_audio() as file:
        return ingest(workspace_id, file)


def _judged(line: Line, stored: StoredFile | None, audio: dict[str, Audio], task: str) -> tuple[Line, Audio | None]:
    """The line with its audio, and with a problem where it does not fit the dataset."""
    named = line.audio.sha256 if line.audio else ""
    found = audio.get(stored.sha256 if stored else named)
    problem = line.problem or _misfit(line, found, task)
    return replace(line, problem=problem), found


def _misfit(line: Line, audio: Audio | None, task: str) -> str:
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
    """Keys that new lines must not have: those of the dataset, and of earlier lines."""

    def __init__(self, dataset_id: int, import_id: int, keys: list[str]) -> None:
        samples = Sample.objects.filter(dataset_id=dataset_id, key__in=keys)
        lines = ImportLine.objects.filter(parent_id=import_id, key__in=keys, problem="")
        self._where = {key: f"line {number}" for key, number in lines.values_list("key", "number")}
        self._where |= dict.fromkeys(samples.values_list("key", flat=True), "the dataset")

    def claim(self, line: Line) -> str:
        """Empty where the key is free, which it then is no more; or else the problem."""
        if line.problem:
            return ""
        if not line.key:
            return "The line has no key, and nothing that one could be made of. Give the column key."
        if where := self._where.get(line.key):
            return f"The key {line.key!r} is already in {where}. Give each line a key of its own."
        self._where[line.key] = f"line {line.number}"
        return ""
