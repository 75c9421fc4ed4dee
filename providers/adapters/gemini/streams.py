"""Streams in the shape that the SDK's upload wants."""

import io
import os
from typing import BinaryIO

PIECE = 1 << 20  # bytes sent at once; a multiple of the 256 KiB that the protocol asks for


class SizedStream(io.RawIOBase):
    """A stream that is read forward once, of known size.

    The SDK seeks to the end and back to learn the size, and holds as much as one read gives: a piece.
    A source that ends before its size raises, since the SDK would go on sending nothing for ever.
    """

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._size = size
        self._at = 0
        self._told: int | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at if self._told is None else self._told

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        where = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence] + offset
        if where == self._at:
            self._told = None
        elif where == self._size:
            self._told = where
        else:
            raise io.UnsupportedOperation("this stream goes forward only")
        return where

    def read(self, size: int = -1) -> bytes:
        """At most a piece; less only at the end."""
        wanted = min(PIECE if size < 0 else min(size, PIECE), self._size - self._at)
        parts = []
        while wanted:
            part = self._source.read(wanted)
            if not part:
                raise OSError("the stored file is shorter than it should be")
            parts.append(part)
            wanted -= len(part)
            self._at += len(part)
        return b"".join(parts)
