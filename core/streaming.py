"""Streaming responses of Django with constant memory, under WSGI and ASGI."""

from collections.abc import AsyncIterator, Generator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

BLOCK = 64 * 1024  # bytes


def streamable(request: HttpRequest, pieces: Iterator[bytes]) -> Iterator[bytes] | AsyncIterator[bytes]:
    """Wrap `pieces` so that a StreamingHttpResponse to `request` sends them as they are made.

    Under ASGI Django would collect a plain iterator in memory before it sends anything.
    """
    blocks = _blocks(pieces)
    return _in_request_thread(blocks) if isinstance(request, ASGIRequest) else blocks


def _blocks(pieces: Iterator[bytes]) -> Generator[bytes]:
    """Join pieces, such as lines, into blocks: each block costs a switch of threads."""
    block = bytearray()
    for piece in pieces:
        block += piece
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


async def _in_request_thread(blocks: Generator[bytes]) -> AsyncIterator[bytes]:
    """Make each block in the request's own thread, which has the database connection."""
    try:
        while (block := await sync_to_async(lambda: next(blocks, None))()) is not None:
            yield block
    finally:
        await sync_to_async(blocks.close)()
