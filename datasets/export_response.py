"""A dataset's export over HTTP."""

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from core.streaming import streamable
from datasets.audio_response import safe_name
from datasets.exporting import export_dataset
from datasets.models import Dataset

EXPORT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl", "zip": "application/zip"}


def export_response(request: HttpRequest, dataset: Dataset, file_format: str) -> StreamingHttpResponse:
    """The dataset as a file to save, sent while it is made; `file_format` is one of EXPORT_TYPES."""
    chunks = streamable(request, iter(export_dataset(dataset, file_format)))
    response = StreamingHttpResponse(chunks, content_type=EXPORT_TYPES[file_format])
    name = safe_name(f"{dataset.name}.{file_format}")
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response
