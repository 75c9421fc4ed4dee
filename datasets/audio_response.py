"""Serves stored audio over HTTP, with byte ranges, so that players can seek."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from core.streaming import streamable
from datasets.models import Audio

CHUNK = 256 * 1024  # bytes
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class UnsatisfiableRangeError(Exception):
    """The range asked for begins after the end."""


def audio_response(request: HttpRequest, audio: Audio, name: str) -> HttpResponseBase:
    """The audio, called `name` where somebody saves it: whole (200), or the one range asked for (206, 416).

    Audio in a bucket is answered by a redirect to an address that is signed for an hour.
    """
    suffix = Path(audio.file.name or "").suffix
    name = safe_name(name.removesuffix(suffix) + suffix)
    try:
        path = Path(audio.file.path)
    except NotImplementedError:  # Django's word for a storage that is not a local folder
        return _redirect_to_bucket(audio, name)
    if not path.is_file():
        raise Http404("The audio of this sample is missing from the storage.")
    etag = f'"{audio.sha256}"'
    # A range that lies outside and one that is not modified are both answered without touching the file.
    whole_or_part: Any = _file_response(request, path, etag)
    response = get_conditional_response(request, etag=etag, response=whole_or_part)
    assert response is not None  # noqa: S101  (it is given one)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    response["Content-Disposition"] = content_disposition_header(as_attachment=False, filename=name) or "inline"
    response["X-Content-Type-Options"] = "nosniff"
    if response.status_code in (200, 206):
        response["Content-Type"] = audio.mime_type
    return response


def safe_name(name: str) -> str:
    """`name` as a file may be called anywhere: no folders, no control or invisible characters, not too long."""
    stem, dot, suffix = name.rpartition(".")
    cleaned = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in stem[:100])
    return (cleaned.strip(" .") or "audio") + dot + suffix


def requested_range(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """The first and last byte asked for by a single Range; None where everything is to be sent.

    What is not understood is ignored, as RFC 9110 wants: other units, several ranges, an If-Range that is another
    version's. Raises UnsatisfiableRangeError.
    """
    match = RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if request.method != "GET" or not match or not any(match.groups()):
        return None
    if request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:  # the last n bytes
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start >= size:
        raise UnsatisfiableRangeError
    return start, end


def _file_response(request: HttpRequest, path: Path, etag: str) -> HttpResponse | StreamingHttpResponse:
    size = path.stat().st_size
    try:
        wanted = requested_range(request, size, etag)
    except UnsatisfiableRangeError:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    start, end = wanted or (0, size - 1)
    response = StreamingHttpResponse(streamable(request, _read(path, start, end)), status=206 if wanted else 200)
    response.headers["Content-Length"] = str(end - start + 1)
    if wanted:
        response.headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return response


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = end - start + 1
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _redirect_to_bucket(audio: Audio, name: str) -> HttpResponseBase:
    url = audio.file.storage.url(  # type: ignore[call-arg]  # the parameters are S3Storage's own
        audio.file.name,
        parameters={
            "ResponseContentType": audio.mime_type,
            "ResponseContentDisposition": content_disposition_header(as_attachment=False, filename=name),
        },
    )
    return HttpResponseRedirect(url, headers={"Cache-Control": "no-store"})
