"""Bodies that are sent while they are made, with constant memory under WSGI and ASGI alike."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest


def streamable(request: HttpRequest, chunks: Iterator[bytes]) -> Iterator[bytes] | AsyncIterator[bytes]:
    """What a StreamingHttpResponse to `request` streams without reading it whole first.

    Under ASGI Django would collect a plain iterator in memory before it sends anything.
    """
    return _in_request_thread(chunks) if isinstance(request, ASGIRequest) else chunks


async def _in_request_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each chunk is made in the request's own thread, where its database connection lives."""
    try:
        while (chunk := await sync_to_async(lambda: next(chunks, None))()) is not None:
            yield chunk
    finally:
        if close := getattr(chunks, "close", None):
            await sync_to_async(close)()
