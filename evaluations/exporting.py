"""Exports a run's results as csv or jsonl."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from core.csv_lines import csv_lines, without_formula
from evaluations.models import Result, ResultQuerySet, Run

FORMATS = ("csv", "jsonl")
SLICE = 1000
# A spreadsheet takes a cell that begins with one of these for a formula, and runs it.
COLUMNS = [
    "result",
    "sample",
    "key",
    "model",
    "status",
    "reason",
    "error",
    "reference",
    "hypothesis",
    "wer",
    "hits",
    "substitutions",
    "deletions",
    "insertions",
    "reference_words",
    "normalizer",
    "language",
    "tags",
    "audio_seconds",
    "latency",
    "retries",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "earlier_cost_usd",
]


def export_run(run: Run, file_format: str) -> Iterator[bytes]:
    """Yield every result of the run with its sample and score, by id, as parts of the file.

    `file_format` is one of FORMATS. jsonl is exact; in csv a text that a spreadsheet would run begins with an
    apostrophe, and what is unknown is empty.
    """
    if file_format == "csv":
        yield "\ufeff".encode() + csv_lines([COLUMNS])  # the mark tells spreadsheets that it is UTF-8
    for results in _slices(Result.objects.filter(run=run).with_details()):
        rows = [_row(run, result) for result in results]
        if file_format == "csv":
            yield csv_lines([[_cell(row[column]) for column in COLUMNS] for row in rows])
        else:
            yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _slices(results: ResultQuerySet) -> Iterator[list[Any]]:
    """Query the results in slices, so that no cursor or transaction stays open while a slow client reads."""
    last_id = 0
    while batch := list(results.filter(pk__gt=last_id).order_by("pk")[:SLICE]):
        yield batch
        last_id = batch[-1].pk


def _row(run: Run, result: Any) -> dict[str, Any]:
    sample = result.sample
    counts = ("wer", "hits", "substitutions", "deletions", "insertions", "reference_words")
    return {
        "result": result.pk,
        "sample": sample.pk,
        "key": sample.key,
        "model": result.job.model_name,
        "status": result.status,
        "reason": result.reason,
        "error": result.error,
        "reference": sample.reference,
        "hypothesis": result.hypothesis,
        **{name: getattr(result, name) for name in counts},
        "normalizer": f"{run.normalizer} v{run.normalizer_version}",
        "language": sample.language or sample.dataset.language,
        "tags": sample.tags,
        "audio_seconds": result.audio_seconds,
        "latency": result.latency,
        "retries": result.retries,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cost_usd": _usd(result.cost_usd),
        "earlier_cost_usd": _usd(result.earlier_cost_usd),
    }


def _usd(cost: Decimal | None) -> str | None:
    return None if cost is None else f"{cost:f}"


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return without_formula(value)
