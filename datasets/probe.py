"""Measures an audio file by decoding all of it; never trusts its name or its headers.

Run as a program (`python -m datasets.probe`) it answers one JSON request a line. `datasets.probe_pool` starts it so,
because FFmpeg reads untrusted bytes here and may crash or hang. It knows no Django, no setting, no secret.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from core.child_process import ends_within
from datasets.containers import CONTAINERS, Container, claimed_seconds, ends_inside_a_page, identify
from datasets.errors import AudioReason, InvalidAudio
from datasets.peaks import Peaks

# Without these a playlist or a session description would make FFmpeg read other files and open connections.
FENCE = {
    "format_whitelist": "wav,mp3,flac,ogg,mov,matroska,aac,aiff,amr,caf,w64",
    "protocol_whitelist": "",
}
# FFmpeg would search PCM for other codecs, which takes most of the time of a short file.
SHORT_LOOK = {"probesize": "4096"}
MIN_SECONDS = 0.1
MAX_BROKEN_SHARE = 0.1  # of packets that cannot be decoded
MEMORY_LIMIT = 2 * 1024**3  # bytes of address space; a decoder wants some 100 MB

# How much sound a file may hold for its size, beyond what any file may: a megabyte of silence could keep a decoder busy
# for minutes. Speech takes 500 bytes a second and more, in the most frugal codecs there are.
ANY_SECONDS = 600.0
LEAST_BYTES_PER_SECOND = 250
ANY_SAMPLES = 60_000_000  # of all channels together: ten minutes in stereo at 48 kHz
MOST_SAMPLES_PER_BYTE = 250


@dataclass(frozen=True)
class Probe:
    """The measurements of a file. `peaks` is hex, one byte a bin; `duration` is seconds by decoded samples."""

    container: str
    codec: str
    mime_type: str
    extension: str
    duration: float
    sample_rate: int
    channels: int
    peaks: str


def probe(file: BinaryIO, max_seconds: float) -> Probe:
    """Decode `file` (seekable) from start to end. Memory does not grow with its length. Raises InvalidAudio."""
    container = identify(file)
    try:
        look = SHORT_LOOK if container is CONTAINERS["wav"] else {}
        with av.open(file, mode="r", options=FENCE | look) as source:
            return _measure(source, container, file, max_seconds)
    except InvalidAudio:
        raise
    except Exception as error:  # damaged files raise nearly anything: ValueError, PermissionError, EOFError
        raise _unreadable(container) from error


def _measure(source: InputContainer, container: Container, file: BinaryIO, max_seconds: float) -> Probe:
    if not source.streams.audio:
        raise InvalidAudio(
            AudioReason.NO_AUDIO_STREAM, "The file holds no audio, only video or data. Upload one with sound."
        )
    stream = source.streams.audio[0]
    at = file.tell()  # FFmpeg reads on from there
    size = file.seek(0, os.SEEK_END)
    claimed = claimed_seconds(container, file, source, stream)
    file.seek(at)
    lengths = _Lengths(max_seconds, size)
    if claimed is not None:
        lengths.allow(claimed, claimed * stream.rate * stream.channels)
    decoding = _Decoding(lengths)
    decoding.run(source, stream)
    decoding.judge(claimed, cut=container is CONTAINERS["ogg"] and ends_inside_a_page(file))
    return Probe(
        container=container.name,
        codec=stream.codec_context.codec.canonical_name,
        mime_type=container.mime_type,
        extension=container.extension,
        duration=decoding.seconds,
        sample_rate=next(iter(decoding.samples)),
        channels=decoding.channels,
        peaks=decoding.peaks.bins().hex(),
    )


class _Lengths:
    """Limits the length of a file's audio, by the caller's limit and by the file's size in bytes."""

    def __init__(self, max_seconds: float, size: int) -> None:
        self._max_seconds = max_seconds
        self._plausible_seconds = ANY_SECONDS + size / LEAST_BYTES_PER_SECOND
        self._plausible_samples = ANY_SAMPLES + size * MOST_SAMPLES_PER_BYTE

    def allow(self, seconds: float, samples: float) -> None:
        """Raise InvalidAudio where `samples` (of all channels together) are more than allowed."""
        if seconds > self._max_seconds:
            raise InvalidAudio(
                AudioReason.TOO_LONG,
                f"The audio is longer than {self._max_seconds / 3600:g} hours (MAX_AUDIO_HOURS). Split it.",
            )
        if seconds > self._plausible_seconds or samples > self._plausible_samples:
            raise InvalidAudio(
                AudioReason.TOO_SPARSE,
                "The file is too small for the length of its audio: most of it must be silence. Cut that out, "
                "or convert the file to wav.",
            )


class _Decoding:
    """Decodes all packets of a stream, and counts samples and errors."""

    def __init__(self, lengths: _Lengths) -> None:
        self.lengths = lengths
        self.samples: dict[int, int] = {}  # by sample rate, which may change on the way
        self.all_samples = 0  # of all channels together
        self.reached = 0.0  # end of the last frame by its time stamp, seconds
        self.channels = 0
        self.packets = 0
        self.broken = 0
        self.last_broken = False
        self.broke_off = False
        self.encrypted = False
        self.peaks = Peaks()

    @property
    def seconds(self) -> float:
        return sum(count / rate for rate, count in self.samples.items())

    def run(self, source: InputContainer, stream: AudioStream) -> None:
        self.encrypted = stream.codec_context.codec_tag == "drms"
        packets = source.demux(stream)
        while not self.encrypted and (packet := self._next(packets)) is not None:
            self.encrypted = packet.has_sidedata("encryption_info")
            self._decode(packet)

    def _next(self, packets: "Iterator[Packet[Any]]") -> "Packet[Any] | None":
        try:
            return next(packets, None)
        except Exception:  # whatever the demuxer raises, it could not read on
            self.broke_off = True
            return None

    def _decode(self, packet: "Packet[Any]") -> None:
        try:
            frames = cast(list[AudioFrame], packet.decode())
        except Exception:  # as above, for the decoder
            self.broken += 1
            self.last_broken = True
        else:
            if packet.size:  # the last packet is empty and only flushes the decoder
                self.last_broken = False
            for frame in frames:
                self._add(frame)
        self.packets += 1

    def _add(self, frame: AudioFrame) -> None:
        if not frame.sample_rate:
            raise InvalidAudio(AudioReason.NOT_AUDIO, "The file is not audio: it has no sample rate.")
        length = frame.samples / frame.sample_rate
        self.samples[frame.sample_rate] = self.samples.get(frame.sample_rate, 0) + frame.samples
        if frame.time is not None:
            self.reached = max(self.reached, frame.time + length)
        self.channels = self.channels or frame.layout.nb_channels
        self.peaks.add(frame)
        self.all_samples += frame.samples * frame.layout.nb_channels
        self.lengths.allow(self.seconds, self.all_samples)

    def judge(self, claimed: float | None, *, cut: bool) -> None:
        """Raise InvalidAudio where the decoded audio is damaged or incomplete."""
        if self.encrypted:
            raise InvalidAudio(AudioReason.ENCRYPTED, "The audio is encrypted. Upload it without copy protection.")
        if self.broken > self.packets * MAX_BROKEN_SHARE and self.broken > 1:
            raise InvalidAudio(
                AudioReason.DAMAGED if self.seconds else AudioReason.NOT_AUDIO,
                f"{self.broken} of {self.packets} parts of the file cannot be decoded. Export it again.",
            )
        reached = max(self.seconds, self.reached)  # pauses that were left out of the file are not missing
        short = claimed is not None and reached < claimed * 0.999 - 0.25
        if short or cut or self.broke_off or self.last_broken:
            claim = f" of {claimed:.1f}" if short else ""
            raise InvalidAudio(
                AudioReason.TRUNCATED,
                f"The file is cut off: only {self.seconds:.1f}{claim} seconds are there. Upload the whole file.",
            )
        if self.seconds < MIN_SECONDS:
            raise InvalidAudio(
                AudioReason.TOO_SHORT,
                f"The audio is {self.seconds:.2f} seconds long; it must be at least {MIN_SECONDS}.",
            )


def _unreadable(container: Container) -> InvalidAudio:
    """Return the error for a file that cannot be opened."""
    if container.name == "mp4":
        return InvalidAudio(AudioReason.TRUNCATED, "The file has no index: it is cut off. Upload the whole file.")
    if container.name == "mp3":  # recognised by two bits only: most likely something else
        return InvalidAudio(AudioReason.NOT_AUDIO, "The file is not audio that can be read.")
    return InvalidAudio(
        AudioReason.TRUNCATED, f"The file begins like {container.name}, but no audio follows: it is cut off or damaged."
    )


def answer(request: dict[str, object]) -> dict[str, object]:
    """`{"path", "max_seconds"}` -> `{"probe": {...}}` or `{"error": code, "message"}`."""
    try:
        with Path(str(request["path"])).open("rb") as file:
            return {"probe": asdict(probe(file, float(str(request["max_seconds"]))))}
    except InvalidAudio as error:
        return {"error": error.code, "message": error.message}


def main() -> None:
    """Answer requests until stdin ends, which it does with the process that started this one."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    for line in sys.stdin:
        request = json.loads(line)
        with ends_within(request["time_limit"]):
            sys.stdout.write(json.dumps(answer(request)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
