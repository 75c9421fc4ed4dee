"""`multipart/form-data`, read as it comes: no length is needed, and of a large file only a piece is in memory."""

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

IN_MEMORY = 1024 * 1024  # bytes of a file; what is larger goes to disk
PIECE = 256 * 1024  # bytes looked at, and written to disk, at once
MAX_FIELD_BYTES = 256 * 1024  # all fields but the file, together
MAX_PARTS = 100
OVERHEAD = 1024 * 1024  # bytes that a body may have beside the file


class BodyHash:
    """SHA-256 of a body that comes in pieces. It takes longer than all else that is done with a body: a thread beside
    makes it, or whoever asks, where that one has enough to do."""

    _beside = ThreadPoolExecutor(1, thread_name_prefix="body hash")
    _room = BoundedSemaphore(4)  # pieces that wait for it, and take memory

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._last: Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        if self._last is not None:
            await asyncio.wrap_future(self._last)
        if self._room.acquire(blocking=False):
            self._last = self._beside.submit(self._digest.update, piece)
            # Also where it never begins: a caller who leaves while one waits for it calls it off.
            self._last.add_done_callback(lambda _: self._room.release())
        else:
            self._last = None
            self._digest.update(piece)

    def hex(self) -> str:
        """Long since made where a provider was called meanwhile; else it is waited for, a millisecond or so."""
        if self._last is not None:
            self._last.result()
        return self._digest.hexdigest()


@dataclass
class Form:
    """What a form holds: its fields as texts, and one file."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    file: BinaryIO | None = None  # an `io.BytesIO`, or a named temporary file; at its end
    body_hash: BodyHash = field(default_factory=BodyHash)  # of all of the form

    def one(self, name: str) -> str | None:
        """The text of a field; None where it is missing or empty. Raises ApiError where there are several."""
        given = self.fields.get(name, [])
        if len(given) > 1:
            raise invalid(f"{name!r} is given {len(given)} times; give it once.", name)
        return given[0] or None if given else None

    def several(self, name: str) -> list[str]:
        """The texts of a list, which may be sent as `name[]`, as `name` again and again, or with commas."""
        given = [*self.fields.get(f"{name}[]", []), *self.fields.get(name, [])]
        return [text.strip() for each in given for text in each.split(",") if text.strip()]

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


async def read_form(request: Request) -> Form:
    """Read the request's body. Raises ApiError: 400 where it is no form, 413 where it is too large."""
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
    """The next PIECE bytes of the body and a little more; less only at its end. As they come they are smaller, and
    each would cost as much as one that is large."""
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
    """Takes the body in pieces cut anywhere, and fills in a form."""

    def __init__(self, boundary: bytes, max_file: int) -> None:
        self.form = Form()
        self._max_file = max_file
        self._file_size = self._field_bytes = self._parts = self._body_bytes = 0
        self._spooled = self._ended = False
        self._waiting = bytearray()  # of a file on disk: what is not written yet
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._part: bytearray | None = None  # of a field; None: the part is passed over, or it is the file
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
        """Put on disk what there is of the file so far."""
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

    # --- what the parser finds --------------------------------------------------------------------

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
