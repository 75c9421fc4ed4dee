"""Usage as a file."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

from core.csv_lines import csv_lines, without_formula
from core.streaming import streamable
from gateway.models import UsageRecordQuerySet

SLICE = 1000
# A spreadsheet takes a cell that begins with one of these for a formula, and runs it.
COLUMNS = [
    *("id", "request_id", "session_id", "endpoint", "api_key", "key_name", "model_name", "served_by"),
    *("state", "result", "status", "reason", "audio_seconds", "characters", "input_tokens", "output_tokens"),
    *("cost_usd", "latency", "first_byte", "body_sha256", "created_at", "settled_at"),
]


def usage_csv(records: UsageRecordQuerySet) -> Iterator[bytes]:
    """A line for each of the calls, oldest first, under a line of COLUMNS: times in UTC, what is not known is empty,
    and a text that a spreadsheet would run begins with an apostrophe."""
    yield "\ufeff".encode() + csv_lines([COLUMNS])  # the mark tells spreadsheets that it is UTF-8
    last_id = 0
    # Each slice is a query of its own: no cursor or transaction is open while a slow client takes the last one.
    while rows := list(records.filter(pk__gt=last_id).order_by("pk").values_list(*COLUMNS)[:SLICE]):
        yield csv_lines([[_cell(value) for value in row] for row in rows])
        last_id = rows[-1][0]


def usage_file(request: HttpRequest, records: UsageRecordQuerySet) -> StreamingHttpResponse:
    """The same as a file to save, sent while it is made."""
    response = StreamingHttpResponse(streamable(request, usage_csv(records)), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="usage.csv"'
    return response


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return without_formula(value)
