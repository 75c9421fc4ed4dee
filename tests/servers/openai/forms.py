"""Multipart bodies, and what is in an audio file."""

import hashlib
import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from functools import cached_property

import av

from tests.servers.http11 import Body

PIECE = 1 << 20


@dataclass
class Part:
    name: str
    filename: str | None
    mime_type: str
    body: Body
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def text(self) -> str:
        return self.body[self.start : self.end].decode()

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for start in range(self.start, self.end, PIECE):
            digest.update(self.body[start : min(start + PIECE, self.end)])
        return digest.hexdigest()

    def seconds(self) -> float:
        """Of audio; 0 where it is none."""
        head = self.body[self.start : self.start + 44]
        if head[:4] == b"RIFF" and head[36:40] == b"data":
            rate = struct.unpack("<I", head[28:32])[0]
            return (self.size - 44) / rate if rate else 0.0
        return _decoded_seconds(self.body[self.start : self.end])


def _decoded_seconds(audio: bytes) -> float:
    try:
        with av.open(io.BytesIO(audio)) as container:
            return sum((frame.samples / frame.sample_rate for frame in container.decode(audio=0)), 0.0)
    except (av.FFmpegError, ValueError, IndexError, PermissionError):
        return 0.0


def read_parts(content_type: str, body: Body) -> Iterator[Part]:
    """Raises ValueError."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    if "multipart/form-data" not in content_type or not found:
        raise ValueError("not a form")
    boundary = b"--" + found[1].encode()
    at = body.find(boundary)
    if at != 0:
        raise ValueError("the form does not begin")
    while True:
        at += len(boundary)
        if body[at : at + 2] == b"--":
            return
        head_end = body.find(b"\r\n\r\n", at)
        end = body.find(b"\r\n" + boundary, head_end)
        if head_end < 0 or end < 0:
            raise ValueError("the form does not end")
        yield _part(body[at + 2 : head_end].decode(), body, head_end + 4, end)
        at = end + 2


def _part(head: str, body: Body, start: int, end: int) -> Part:
    message = Message()
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        message[name] = value.strip()
    field = message.get_param("name", "", "content-disposition")
    return Part(str(field), message.get_filename(), message.get_content_type(), body, start, end)
