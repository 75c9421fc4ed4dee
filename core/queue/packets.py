"""Messages between processes that any of them may be killed amid."""

import io
import os
import socket
from multiprocessing.connection import Connection
from typing import Any

LARGEST = 1 << 20  # bytes of a message; the kernel takes no larger one than its buffer for a socket


class Packets(Connection):
    """One end of a channel whose messages are written and read whole or not at all. In a pipe, which multiprocessing
    takes, a reader that is killed between a message's length and its text leaves the text to be taken for a length."""

    def _send_bytes(self, buf: Any) -> None:
        os.write(self.fileno(), buf)

    def _recv_bytes(self, maxsize: int | None = None) -> io.BytesIO:
        packet = os.read(self.fileno(), LARGEST)
        if not packet:
            raise EOFError
        return io.BytesIO(packet)


def packet_channel() -> tuple[Packets, Packets]:
    """The end to read from, and the one to write to."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Packets(reader.detach(), writable=False), Packets(writer.detach(), readable=False)
