"""A message channel between processes that survives a kill of either side amid a message."""

import io
import os
import socket
from multiprocessing.connection import Connection
from typing import Any

LARGEST = 1 << 20  # bytes of a message; the kernel limits it to the buffer of the socket


class Packets(Connection):
    """One end of a channel whose messages are written and read atomically. In the pipes of multiprocessing a reader
    that is killed between the length and the content of a message leaves the content to be read as a length."""

    def _send_bytes(self, buf: Any) -> None:
        os.write(self.fileno(), buf)

    def _recv_bytes(self, maxsize: int | None = None) -> io.BytesIO:
        packet = os.read(self.fileno(), LARGEST)
        if not packet:
            raise EOFError
        return io.BytesIO(packet)


def packet_channel() -> tuple[Packets, Packets]:
    """Return the reading and the writing end of a new channel."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Packets(reader.detach(), writable=False), Packets(writer.detach(), readable=False)
