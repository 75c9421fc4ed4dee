"""Streaming parser of `multipart/form-data`: needs no Content-Length, and keeps large files on disk."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import BinaryIO, cast

from django.conf import settings
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from core.temporary import named_file
from gateway.errors import ApiError, invalid
from gateway.http.request import Request

IN_MEMORY = 1024 * 1024  # bytes of a file; larger ones are written to disk
PIECE = 256 * 1024  # bytes that are parsed, and written to disk, at once
MAX_FIELD_BYTES = 256 * 1024  # of all fields together, without the file
MAX_PARTS = 100
OVERHEAD = 1024 * 1024  # bytes that a body may have besides the file


class BodyHash:
    """SHA-256 of a body that arrives in pieces. As hashing costs more than all other work on a body, a thread shared by
    all requests does it, or the caller while that thread is busy."""

    _hash_thread = ThreadPoolExecutor(1, thread_name_prefix="body hash")
    _room = BoundedSemaphore(4)  # pieces queued for the thread, which take memory

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._last: Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        if self._last is not None:
            await asyncio.wrap_future(self._last)
        if self._room.acquire(blocking=False):
            self._last = self._hash_thread.submit(self._digest.update, piece)
            # A callback, as the future may be cancelled before it runs: when the client leaves while `add` waits.
            self._last.add_done_callback(lambda _: self._room.release())
        else:
            self._last = None
            self._digest.update(piece)

    def hex(self) -> str:
        """Return the digest in hex. May block for about a millisecond if the last piece is not hashed yet."""
        if self._last is not None:
            self._last.result()
        return self._digest.hexdigest()


@dataclass
class Form:
    """A parsed form: its text fields and one file."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    file: BinaryIO | None = None  # an `io.BytesIO` or a named temporary file, positioned at its end
    body_hash: BodyHash = field(default_factory=BodyHash)  # of the whole body

    def one(self, name: str) -> str | None:
        """Return the value of a field; None if it is missing or empty. Raises ApiError if it is given several times."""
        given = self.fields.get(name, [])
        if len(given) > 1:
            raise invalid(f"{name!r} is given {len(given)} times; give it once.", name)
        return given[0] or None if given else None

    def several(self, name: str) -> list[str]:
        """Return the values of a list, which may be sent as `name[]`, as repeated `name`, or separated by commas."""
        given = [*self.fields.get(f"{name}[]", []), *self.fields.get(name, [])]
        return [text.strip() for each in given for text in each.split(",") if text.strip()]

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


async def read_form(request: Request) -> Form:
    """Parse the request's body. Raises ApiError: 400 if it is no valid form, 413 if it is too large."""
    max_file = settings.GATEWAY_MAX_AUDIO_MB * 1024 * 1024
    reader = _Reader(_boundary(request), max_file)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_file + OVERHEAD:
        raise _file_too_large(max_file)
    try:
        async with aclosing(request.stream()) as stream:
            while pieces := await _next_pieces(stream):
                await reader.form.body_hash.add(pieces)
                reader.feed(pieces)
                if reader.wants_disk:
                    await asyncio.to_thread(reader.to_disk)
        reader.end()
    except BaseException:
        reader.form.close()
        raise
    return reader.form


async def _next_pieces(body: AsyncGenerator[bytes, None]) -> bytes:
    """Read at least PIECE bytes of the body, fewer only at its end: the server's pieces are smaller, and the overhead
    is by the piece."""
    pieces, size = [], 0
    while size < PIECE and (piece := await anext(body, b"")):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _boundary(request: Request) -> bytes:
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        raise invalid("Send the audio as multipart/form-data, with the fields 'file' and 'model'.")
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise invalid("The Content-Type header names no boundary. Let the HTTP client set that header by itself.")
    return boundary


def _file_too_large(max_bytes: int) -> ApiError:
    message = f"The file is larger than {max_bytes // 1024**2} MB. Compress the audio (flac, mp3, ogg), or cut it."
    return ApiError(413, message, param="file", code="file_too_large")


class _Reader:
    """Feeds the parser, whose callbacks fill in the form."""

    def __init__(self, boundary: bytes, max_file: int) -> None:
        self.form = Form()
        self._max_file = max_file
        self._file_size = self._field_bytes = self._parts = self._body_bytes = 0
        self._spooled = self._ended = False
        self._waiting = bytearray()  # bytes of a file on disk that are not written yet
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._part: bytearray | None = None  # content of the current field; None: the current part is the file
        self._name = ""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise invalid("The boundary that the Content-Type header names is too long.") from None

    def feed(self, piece: bytes) -> None:
        self._body_bytes += len(piece)
        if self._body_bytes > self._max_file + OVERHEAD:
            raise _file_too_large(self._max_file)
        try:
            self._parser.write(piece)
        except FormParserError:
            message = "The body is not the multipart/form-data that its Content-Type header says: a boundary is wrong."
            raise invalid(message) from None

    def end(self) -> None:
        if not self._ended:
            raise invalid("The multipart/form-data ends before its last boundary: it was cut off on its way here.")
        if self._spooled:
            self.to_disk()

    @property
    def wants_disk(self) -> bool:
        if self._spooled:
            return len(self._waiting) >= PIECE
        return self._file_size > IN_MEMORY

    def to_disk(self) -> None:
        """Write the bytes of the file that are in memory to disk."""
        if not self._spooled:
            held, self._spooled = self.form.file, True
            assert isinstance(held, io.BytesIO)  # noqa: S101 - a file that is not on disk
            file = named_file()
            file.write(held.getbuffer())
            self.form.file = cast(BinaryIO, file)
        assert self.form.file is not None  # noqa: S101
        self.form.file.write(self._waiting)
        self.form.file.flush()
        self._waiting.clear()

    # --- callbacks of the parser --------------------------------------------------------------------

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise invalid(f"The form has more than {MAX_PARTS} parts.")
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise invalid("A part of the form has no name: its Content-Disposition header is missing or wrong.")
        self._name = options[b"name"].decode(errors="replace")
        if self._name == "file":
            if self.form.file is not None:
                raise invalid("There are several files; send one at a time.", "file")
            self.form.file = io.BytesIO()
            self._part = None
        else:
            self._part = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part is None:
            self._file_size += end - start
            if self._file_size > self._max_file:
                raise _file_too_large(self._max_file)
            if self._spooled:
                self._waiting += memoryview(data)[start:end]
            else:
                assert self.form.file is not None  # noqa: S101
                self.form.file.write(memoryview(data)[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > MAX_FIELD_BYTES:
            raise ApiError(413, f"The form's fields are larger than {MAX_FIELD_BYTES} bytes.", code="request_too_large")
        self._part += data[start:end]

    def _on_part_end(self) -> None:
        if self._part is None:
            return
        try:
            self.form.fields.setdefault(self._name, []).append(self._part.decode())
        except UnicodeDecodeError:
            raise invalid(f"The field {self._name!r} is not text in UTF-8.", self._name) from None

    def _on_end(self) -> None:
        self._ended = True
