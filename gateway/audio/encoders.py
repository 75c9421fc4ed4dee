"""Sound, encoded as it comes: frames go in, bytes that can be played so far come out."""

from typing import Literal, Protocol

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from gateway.audio.wav import streaming_header
from providers.adapters.base import AudioEncoding

SAMPLE_RATE = 24_000  # Hz, mono: what OpenAI answers in, and what players of headerless pcm take for granted
BIT_RATE = 64_000

# encoding -> FFmpeg's container and codec
WRITERS: dict[AudioEncoding, tuple[str, Literal["libmp3lame", "libopus", "aac", "flac"]]] = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "aac": ("adts", "aac"),
    "flac": ("flac", "flac"),
}
# Everything leaves as soon as it is made: no page or buffer is filled first, no header is completed afterwards.
AT_ONCE = {"flush_packets": "1"}
CONTAINER_OPTIONS: dict[AudioEncoding, dict[str, str]] = {
    "mp3": {"write_xing": "0", "id3v2_version": "0"},
    "opus": {"page_duration": "20000"},  # microseconds
}
CODEC_OPTIONS: dict[AudioEncoding, dict[str, str]] = {
    "mp3": {"reservoir": "0"},  # of bits, which would hold frames back
    "flac": {"frame_size": "1152"},
}


class Encoder(Protocol):
    def feed(self, frame: AudioFrame) -> bytes: ...

    def end(self) -> bytes:
        """The rest. Nothing is fed afterwards."""


def encoder_of(encoding: AudioEncoding) -> Encoder:
    """To 24 kHz mono, whatever goes in."""
    if encoding == "pcm":
        return PcmEncoder(b"")
    if encoding == "wav":
        return PcmEncoder(streaming_header(SAMPLE_RATE))
    return FileEncoder(encoding)


class PcmEncoder:
    """Samples of 16 bits, after a header of any kind."""

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._resampler = AudioResampler("s16", "mono", SAMPLE_RATE)

    def feed(self, frame: AudioFrame | None) -> bytes:
        header, self._header = self._header, b""
        return header + b"".join(
            bytes(out.planes[0])[: out.samples * 2]  # the plane is longer, for alignment
            for out in self._resampler.resample(frame)
        )

    def end(self) -> bytes:
        return self.feed(None)


class FileEncoder:
    """Everything else: a codec, and the container around it."""

    def __init__(self, encoding: AudioEncoding) -> None:
        container, codec = WRITERS[encoding]
        self._sink = _Sink()
        self._container = av.open(
            self._sink, "w", format=container, options=AT_ONCE | CONTAINER_OPTIONS.get(encoding, {})
        )
        self._stream: AudioStream = self._container.add_stream(
            codec, rate=SAMPLE_RATE, layout="mono", options=CODEC_OPTIONS.get(encoding, {})
        )
        if encoding != "flac":
            self._stream.bit_rate = BIT_RATE
        self._resampler = AudioResampler(self._stream.format.name, "mono", SAMPLE_RATE)

    def feed(self, frame: AudioFrame) -> bytes:
        self._encode(frame)
        return self._sink.take()

    def end(self) -> bytes:
        self._encode(None)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()

    def _encode(self, frame: AudioFrame | None) -> None:
        for out in self._resampler.resample(frame):
            out.pts = None
            self._container.mux(self._stream.encode(out))


class _Sink:
    """Where the container writes: it cannot go back, so it never waits for what it would correct later."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken
