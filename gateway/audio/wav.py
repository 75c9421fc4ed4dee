"""WAV headers, read and written by hand: where a stream is cut anywhere, and where microseconds count."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

EXTENSIBLE = 0xFFFE  # the real format tag follows later in the chunk
UNKNOWN_SIZE = 0xFFFFFFFF  # what a writer claims that does not know how much follows;
NEARLY_UNKNOWN = 0x7FFFF000  # or this or more
LONGEST_HEADER = 1024 * 1024  # bytes before the sound: pictures and notes may come first

# (format tag, bits) -> FFmpeg's name. Others are compressed.
CODECS = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16le",
    (1, 24): "pcm_s24le",
    (1, 32): "pcm_s32le",
    (3, 32): "pcm_f32le",
    (3, 64): "pcm_f64le",
    (6, 8): "pcm_alaw",
    (7, 8): "pcm_mulaw",
}


class NotPlainWav(Exception):  # noqa: N818 - an answer, not a fault
    """The bytes are no WAV with uncompressed sound."""


@dataclass(frozen=True)
class WavHeader:
    codec: str  # FFmpeg's name
    sample_rate: int  # Hz
    channels: int
    frame_bytes: int  # of one sample in all channels
    start: int  # where the sound begins, bytes
    claimed: int | None  # bytes of sound; None: up to the end

    @property
    def byte_rate(self) -> int:
        return self.sample_rate * self.frame_bytes


def read_header(head: bytes) -> WavHeader | None:
    """None: more bytes are needed. Raises NotPlainWav."""
    if len(head) >= 12 and (head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE"):
        raise NotPlainWav
    at, sound = 12, None
    while len(head) >= at + 8:
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8
        if name == b"data":
            if sound is None:
                raise NotPlainWav
            # 0: the writer meant to fill it in later, and could not.
            return WavHeader(*sound, start=at, claimed=size if 0 < size < NEARLY_UNKNOWN else None)
        if name == b"fmt " and len(head) >= at + size:
            sound = _sound(head[at : at + size])
        at += size + size % 2
        if at > LONGEST_HEADER:
            raise NotPlainWav
    return None


def _sound(chunk: bytes) -> tuple[str, int, int, int]:
    """codec, sample rate, channels, bytes of a sample in all channels"""
    if len(chunk) < 16:
        raise NotPlainWav
    tag, channels, rate, byte_rate, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    codec = CODECS.get((tag, bits))
    sensible = 1 <= channels <= 8 and 4000 <= rate <= 384_000
    if codec is None or not sensible or frame_bytes != channels * bits // 8 or byte_rate != rate * frame_bytes:
        raise NotPlainWav
    return codec, rate, channels, frame_bytes


def plain_wav_seconds(file: BinaryIO, size: int) -> float | None:
    """How long the sound is that is really there; None where it must be decoded to know. `size`: the file's, bytes."""
    try:
        header = None
        for length in (4096, LONGEST_HEADER):
            file.seek(0)
            header = header or read_header(file.read(length))
    except NotPlainWav:
        return None
    if header is None:
        return None
    there = max(0, size - header.start)
    return min(there, there if header.claimed is None else header.claimed) / header.byte_rate


def streaming_header(sample_rate: int) -> bytes:
    """Before 16 bit mono sound of a length that nobody knows yet."""
    sound = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
    size = UNKNOWN_SIZE.to_bytes(4, "little")
    return b"RIFF" + size + b"WAVEfmt " + len(sound).to_bytes(4, "little") + sound + b"data" + size
