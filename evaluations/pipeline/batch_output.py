"""Stores a batch's result file as the provider made it, then ends results by its lines. Both can be repeated."""

import gzip
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice

from django.core.files import File
from django.db import transaction
from django.utils import timezone

from core.leases import LeaseHeartbeat
from evaluations.choices import UNFINISHED
from evaluations.models import Batch, Result, ResultQuerySet, Run
from evaluations.pipeline.completion import count_results, job_outcome, run_outcome
from evaluations.pipeline.results import result_fields
from evaluations.scoring.normalizers import get_normalizer
from evaluations.scoring.services import score_results
from providers.adapters.base import BatchLine, BatchTranscriber, ProviderError, Transcription, as_batch_transcriber
from providers.pricing import PriceList, price_list
from providers.reasons import Reason
from providers.registry import adapter_for

logger = logging.getLogger(__name__)

LINES = 500  # of the file that are stored in a transaction
KEY = re.compile(r"[0-9]{1,18}")  # we send the results' ids as keys


def store_output(batch: Batch, adapter: BatchTranscriber, remote_file: str, heartbeat: LeaseHeartbeat) -> None:
    """Download the provider's result file into our storage, gzipped. Raises ProviderError, LeaseLost."""
    with tempfile.TemporaryFile() as copy:
        with gzip.GzipFile(fileobj=copy, mode="wb", compresslevel=3) as packed:
            for piece in adapter.download_file(remote_file):
                packed.write(piece)
                heartbeat.check()
        copy.seek(0)
        # A worker may have stored the file and died before it stored its name.
        batch.output.storage.delete(batch.output_path)
        batch.output.save(batch.output_path, File(copy), save=False)
    Batch.objects.filter(pk=batch.pk).update(output=batch.output.name)


class Collector:
    """Ends the results of one batch by the lines of its stored result file.

    With `recollecting` failed results are ended again: pending ones then belong to a retry, and wait for another batch.
    """

    def __init__(
        self,
        batch: Batch,
        adapter: BatchTranscriber,
        prices: PriceList,
        *,
        before_write: Callable[[], None] = lambda: None,
        recollecting: bool = False,
    ) -> None:
        self.batch = batch
        self.adapter = adapter
        self.prices = prices
        self.before_write = before_write  # called in each writing transaction; raises LeaseLost
        self.open_states = [Result.Status.FAILED if recollecting else Result.Status.PENDING]
        self.seen: set[str] = set()
        self.problems: Counter[str] = Counter()

    def collect(self) -> None:
        """End the result of each line. Lines without a result are counted in `batch.problems`, by their fault."""
        lines = self._answers()
        while group := dict(islice(lines, LINES)):
            self._end_results(group)
        Batch.objects.filter(pk=self.batch.pk).update(problems=dict(+self.problems))

    def refusal_of_all(self) -> str:
        """Return the provider's message where it refuses every line (it takes no audio in batches); else empty."""
        refusal = ""
        for _, answer in self._answers():
            if not isinstance(answer, ProviderError) or answer.reason != Reason.REQUEST_REFUSED:
                return ""
            refusal = str(answer)
        return refusal

    def lacks_lines(self, pending: ResultQuerySet) -> bool:
        """Return whether more results are pending than the file has unreadable lines: it may be incomplete."""
        return pending.count() > self.problems["bad_json"] + self.problems["missing_key"]

    def _answers(self) -> Iterator[tuple[int, Transcription | ProviderError]]:
        """Yield result id and answer of each line; of several lines with one key only the first."""
        with self.batch.output.open("rb") as packed, gzip.open(packed) as lines:
            for line in lines:
                if not line.strip():
                    continue
                read = self.adapter.read_line(line)
                if read.key is None:
                    self.problems[_problem_without_key(read)] += 1
                elif not KEY.fullmatch(read.key):
                    self.problems["unknown_key"] += 1
                elif read.key in self.seen:
                    self.problems["duplicate_key"] += 1
                else:
                    self.seen.add(read.key)
                    yield int(read.key), read.answer

    @transaction.atomic
    def _end_results(self, answers: dict[int, Transcription | ProviderError]) -> None:
        self.before_write()
        rows = Result.objects.filter(shard=self.batch.shard_id, pk__in=answers)
        found = set(rows.values_list("pk", flat=True))
        self.problems["unknown_key"] += len(answers) - len(found)
        changed: list[Result] = []
        changed_fields: Iterable[str] = ()
        for row in rows.filter(status__in=self.open_states).select_for_update():
            answer = answers[row.pk]
            fields = result_fields(answer, self._cost(answer, row.audio_seconds))
            if all(getattr(row, name) == value for name, value in fields.items() if name != "finished_at"):
                continue  # it ended with the same answer before
            for name, value in fields.items():
                setattr(row, name, value)
            logger.debug(
                "run %s job %s sample %s: %s %s", row.run_id, row.job_id, row.sample_id, row.status, row.reason
            )
            changed.append(row)
            changed_fields = fields
        # One statement for all of them: an insert of rows that are there already updates them.
        if changed:
            Result.objects.bulk_create(
                changed, update_conflicts=True, unique_fields=["id"], update_fields=list(changed_fields)
            )

    def _cost(self, answer: Transcription | ProviderError, seconds: float | None) -> Decimal | None:
        if isinstance(answer, ProviderError):
            return None
        return self.prices.cost_of_call(seconds, answer.input_tokens, answer.output_tokens, batch=True)


def _problem_without_key(line: BatchLine) -> str:
    bad = isinstance(line.answer, ProviderError) and line.answer.reason == Reason.BAD_JSON
    return "bad_json" if bad else "missing_key"


def recollect(run: Run) -> None:
    """End the run's failed results again by the stored result files; completed ones stay.

    Does nothing where the run is unfinished.
    """
    batches = Batch.objects.filter(shard__job__run=run).exclude(output="").order_by("number")
    for batch in batches.select_related("shard__job__model__provider"):
        model = batch.shard.job.model
        if model is None or not Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).exists():
            continue
        adapter = as_batch_transcriber(adapter_for(model.provider))
        day = timezone.localdate(batch.submitted_at) if batch.submitted_at else timezone.localdate()
        Collector(batch, adapter, price_list(model, day), recollecting=True).collect()
        normalizer = get_normalizer(run.normalizer, run.normalizer_version)
        score_results(Result.objects.filter(shard=batch.shard_id), normalizer)
    _refresh_outcomes(run)


@transaction.atomic
def _refresh_outcomes(run: Run) -> None:
    """Update counts and status of the run and its jobs from the results, unless one is pending."""
    for job in run.jobs.exclude(status__in=UNFINISHED):
        counts = count_results(job)
        if counts.pop("pending"):
            return
        run.jobs.filter(pk=job.pk).update(status=job_outcome(counts, job.total), **counts)
    statuses = set(run.jobs.values_list("status", flat=True))
    Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).update(status=run_outcome(statuses))
