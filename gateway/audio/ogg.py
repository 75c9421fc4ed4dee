"""Ogg pages, read as they come: what of Ogg a stream of Opus needs (RFC 3533)."""

from collections.abc import Iterator

FIXED = 27  # bytes of a page's header before its table of segments
LONGEST_PACKET = 128 * 1024  # bytes


class Pages:
    """Packets out of a stream of pages that is cut anywhere. One stream only; checksums are TCP's business."""

    def __init__(self) -> None:
        self._bytes = b""
        self._packet = b""  # begun, and continued on the next page

    def feed(self, audio: bytes) -> Iterator[bytes]:
        """The packets that are whole now. Raises ValueError where the bytes are no Ogg."""
        self._bytes += audio
        while (page := self._page()) is not None:
            yield from self._packets(*page)

    def _page(self) -> tuple[bytes, bytes] | None:
        """The next page's table of segments and body; None where it is not whole yet."""
        if not b"OggS".startswith(self._bytes[:4]):
            raise ValueError
        if len(self._bytes) < FIXED or len(self._bytes) < FIXED + self._bytes[26]:
            return None
        start = FIXED + self._bytes[26]
        table = self._bytes[FIXED:start]
        end = start + sum(table)
        if len(self._bytes) < end:
            return None
        body, self._bytes = self._bytes[start:end], self._bytes[end:]
        return table, body

    def _packets(self, table: bytes, body: bytes) -> Iterator[bytes]:
        at = 0
        for length in table:
            self._packet += body[at : at + length]
            at += length
            if len(self._packet) > LONGEST_PACKET:
                raise ValueError
            if length < 255:  # the last segment of a packet
                packet, self._packet = self._packet, b""
                yield packet
