"""Container formats: told by content, and what each claims about its own length.

FFmpeg plays a file that was cut off as if nothing had happened, and for some formats even lowers the length that it
reports. What the file itself claims is read here, to be held against what really comes out.
"""

import os
from dataclasses import dataclass
from typing import BinaryIO

from av.audio.stream import AudioStream
from av.container import InputContainer

from datasets.errors import AudioReason, InvalidAudio

MICROSECONDS = 1_000_000
UNKNOWN_SIZE = 0xFFFFF000  # this or more is written by recorders that write to a pipe
LARGEST_OGG_PAGE = 27 + 255 + 255 * 255  # bytes


@dataclass(frozen=True)
class Container:
    name: str
    mime_type: str
    extension: str


CONTAINERS = {
    container.name: container
    for container in (
        Container("wav", "audio/wav", "wav"),
        Container("mp3", "audio/mpeg", "mp3"),
        Container("flac", "audio/flac", "flac"),
        Container("mp4", "audio/mp4", "m4a"),
        Container("aac", "audio/aac", "aac"),
        Container("ogg", "audio/ogg", "ogg"),
        Container("webm", "audio/webm", "webm"),
        Container("matroska", "audio/x-matroska", "mka"),
        Container("aiff", "audio/aiff", "aiff"),
        Container("amr", "audio/amr", "amr"),
        Container("caf", "audio/x-caf", "caf"),
        Container("w64", "audio/x-w64", "w64"),
    )
}

TAKEN = "wav, mp3, flac, m4a, aac, ogg, opus and webm are taken"
# Files that people upload by mistake: first bytes, and what to tell them.
NOT_TAKEN = {
    b"#EXTM3U": "The file is a playlist: it only names other files. Upload the audio itself.",
    b"[playlist]": "The file is a playlist: it only names other files. Upload the audio itself.",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": f"WMA is not taken: {TAKEN}. Convert the file.",
    b"MThd": f"MIDI holds notes, not sound: {TAKEN}.",
    b"PK\x03\x04": "The file is a zip archive. Import it as one, or upload the audio inside.",
    b"FLV\x01": f"Flash video is not taken: {TAKEN}. Convert the file.",
    b".RMF": f"RealMedia is not taken: {TAKEN}. Convert the file.",
    b".snd": f"AU is not taken: {TAKEN}. Convert the file.",
}


def identify(file: BinaryIO) -> Container:
    """Return the container that the first bytes show. Raises InvalidAudio where it is none of the supported ones."""
    file.seek(0)
    head = file.read(4096)
    file.seek(0)
    if not head:
        raise InvalidAudio(AudioReason.EMPTY, "The file is empty.")
    name = _name(head)
    if name is not None:
        return CONTAINERS[name]
    for magic, message in NOT_TAKEN.items():
        if head.lstrip(b"\xef\xbb\xbf").startswith(magic):
            raise InvalidAudio(AudioReason.UNSUPPORTED_FORMAT, message)
    raise InvalidAudio(AudioReason.NOT_AUDIO, f"The file is not audio that is known here: {TAKEN}.")


def _name(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"webm" in head[:64] else "matroska"
    for magic, name in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"#!AMR", "amr"), (b"caff", "caf"), (b"riff", "w64")):
        if head.startswith(magic):
            return name
    return _frames(head.lstrip(b"\x00"))  # some encoders pad


def _frames(head: bytes) -> str | None:
    """Recognise mp3, aac or flac by their frames, after an optional tag: they have no container header."""
    if head.startswith(b"ID3"):
        inside = head[_id3_size(head) :]
        return "flac" if inside.startswith(b"fLaC") else _frames(inside) or "mp3"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
        return "mp3"
    return None


def _id3_size(head: bytes) -> int:
    """Return the bytes of the ID3v2 tag at the start of `head`; 0 without one."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def claimed_seconds(container: Container, file: BinaryIO, source: InputContainer, stream: AudioStream) -> float | None:
    """Return the seconds that the file claims to be long; None where it makes no reliable claim."""
    if container.name == "wav":
        return _claimed_by_wav(file)
    if container.name == "mp3" and not _has_frame_count(file):
        return None  # without a frame count FFmpeg guesses by the first bit rate
    if container.name in ("aac", "amr", "ogg"):
        return None  # guessed too, or what the end of the file says
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return source.duration / MICROSECONDS if source.duration else None


def _claimed_by_wav(file: BinaryIO) -> float | None:
    """Return the seconds that the data chunk claims, where the file is shorter than that."""
    byte_rate = 0
    file.seek(12)
    while len(header := file.read(8)) == 8:
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"fmt ":
            byte_rate = int.from_bytes(file.read(12)[8:], "little")
            file.seek(-12, os.SEEK_CUR)
        if header[:4] == b"data":
            there = os.fstat(file.fileno()).st_size - file.tell()
            cut = there < size < UNKNOWN_SIZE and byte_rate > 0
            return size / byte_rate if cut else None
        file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _has_frame_count(file: BinaryIO) -> bool:
    """Return whether an mp3 begins with a Xing, Info or VBRI frame, which counts the frames that follow."""
    file.seek(0)
    file.seek(_id3_size(file.read(10)))
    first = file.read(512)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def ends_inside_a_page(file: BinaryIO) -> bool:
    """Return whether the last page of an Ogg file claims more bytes than the file has."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LARGEST_OGG_PAGE - 27))
    tail = file.read()
    start = tail.rfind(b"OggS")
    if start < 0:
        return True
    page = tail[start:]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 or len(page) < 27 + page[26] + sum(segments)
