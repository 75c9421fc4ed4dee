"""Streams of audio, decoded as they come: bytes cut anywhere go in, frames of sound come out.

No container reader of FFmpeg's is used: each would look ahead, and could be made to open other files. The formats that
speech comes in are streams of packets, which its parsers cut, or simple enough to be cut here.
"""

from typing import Any, Literal, Protocol, cast

from av import AudioCodecContext, FFmpegError
from av.audio.frame import AudioFrame
from av.packet import Packet

from gateway.audio.ogg import Pages
from gateway.audio.wav import LONGEST_HEADER, NotPlainWav, WavHeader, read_header
from providers.adapters.base import AudioEncoding

# How many samples (of all channels together) a stream may hold for its bytes, beyond what any may: a few bytes of
# silence can claim to be a minute.
ANY_SAMPLES = 5_000_000
MOST_SAMPLES_PER_BYTE = 250

LAYOUTS = {1: "mono", 2: "stereo"}


class NotDecodable(Exception):  # noqa: N818 - an answer about somebody else's bytes
    """The bytes are not what they are said to be."""


class Decoder(Protocol):
    def feed(self, audio: bytes) -> list[AudioFrame]:
        """What can be heard now and was not given before. Raises NotDecodable, or nearly anything of FFmpeg's."""

    def end(self) -> list[AudioFrame]:
        """The rest. Nothing is fed afterwards."""


def decoder_of(encoding: AudioEncoding, sample_rate: int) -> Decoder:
    """`sample_rate` (Hz) counts for pcm alone; the others say it themselves."""
    if encoding == "pcm":
        return PcmDecoder("pcm_s16le", sample_rate, channels=1, frame_bytes=2)
    if encoding == "wav":
        return WavDecoder()
    if encoding == "opus":
        return OpusDecoder()
    return FrameDecoder(encoding)


class _Allowance:
    """How many samples may still come of the bytes so far."""

    def __init__(self) -> None:
        self._samples = ANY_SAMPLES

    def add(self, audio: bytes) -> None:
        self._samples += len(audio) * MOST_SAMPLES_PER_BYTE

    def spend(self, frames: list[AudioFrame]) -> list[AudioFrame]:
        """The same frames. Raises NotDecodable where they are too many."""
        self._samples -= sum(frame.samples * frame.layout.nb_channels for frame in frames)
        if self._samples < 0:
            raise NotDecodable("more sound than its bytes can hold")
        return frames


class FrameDecoder:
    """mp3, flac and aac (ADTS): frames one after the other, told apart by FFmpeg's parsers."""

    def __init__(self, codec: Literal["mp3", "aac", "flac"]) -> None:
        self._context = _context(codec)
        self._allowance = _Allowance()
        self._heard = False

    def feed(self, audio: bytes) -> list[AudioFrame]:
        self._allowance.add(audio)
        return [frame for packet in self._context.parse(audio) for frame in self._decode(packet)]

    def end(self) -> list[AudioFrame]:
        rest = []
        while packets := self._context.parse():  # FLAC's parser gives what it holds one by one
            rest += [frame for packet in packets for frame in self._decode(packet)]
        return rest + self._context.decode(None)

    def _decode(self, packet: "Packet[Any]") -> list[AudioFrame]:
        try:
            frames = self._context.decode(packet)
        except FFmpegError:
            if self._heard:
                raise
            return []  # tags and pictures come before the first frame
        self._heard = self._heard or bool(frames)
        return self._allowance.spend(frames)


class PcmDecoder:
    """Samples without any header."""

    def __init__(self, codec: str, sample_rate: int, channels: int, frame_bytes: int) -> None:
        if channels not in LAYOUTS:
            raise NotDecodable(f"speech in {channels} channels")
        self._context = _context(codec)
        self._context.sample_rate = sample_rate
        self._context.layout = LAYOUTS[channels]
        self._frame_bytes = frame_bytes
        self._rest = b""

    def feed(self, audio: bytes) -> list[AudioFrame]:
        audio = self._rest + audio
        whole = len(audio) - len(audio) % self._frame_bytes
        self._rest = audio[whole:]
        return self._context.decode(Packet(audio[:whole])) if whole else []

    def end(self) -> list[AudioFrame]:
        return []  # half a sample is no sound


class WavDecoder:
    """A header, then samples up to the length that the header claims, or to the end of the stream."""

    def __init__(self) -> None:
        self._head = b""
        self._header: WavHeader | None = None
        self._missing: int | None = None  # bytes of sound that are still to come; None: nobody knows

    def feed(self, audio: bytes) -> list[AudioFrame]:
        if self._header is None:
            self._head += audio
            audio = self._read_header()
        if self._header is None:
            return []
        if self._missing is not None:
            audio = audio[: self._missing]
            self._missing -= len(audio)
        return self._samples.feed(audio)

    def _read_header(self) -> bytes:
        """The sound that comes after it."""
        try:
            self._header = header = read_header(self._head)
        except NotPlainWav as error:
            raise NotDecodable("not a WAV with plain samples") from error
        if header is None:
            if len(self._head) > LONGEST_HEADER:
                raise NotDecodable("a WAV without sound")
            return b""
        self._samples = PcmDecoder(header.codec, header.sample_rate, header.channels, header.frame_bytes)
        self._missing = header.claimed
        return self._head[header.start :]

    def end(self) -> list[AudioFrame]:
        if self._missing:
            raise NotDecodable("a WAV that ends before its time")
        return []


class OpusDecoder:
    """Opus in Ogg pages."""

    def __init__(self) -> None:
        self._pages = Pages()
        self._allowance = _Allowance()
        self._context: AudioCodecContext | None = None
        self._tags_passed = False

    def feed(self, audio: bytes) -> list[AudioFrame]:
        self._allowance.add(audio)
        frames: list[AudioFrame] = []
        try:
            for packet in self._pages.feed(audio):
                frames += self._decode(packet)
        except ValueError as error:
            raise NotDecodable("not Ogg pages") from error
        return frames

    def _decode(self, packet: bytes) -> list[AudioFrame]:
        if self._context is None:
            if not packet.startswith(b"OpusHead"):
                raise NotDecodable("an Ogg stream that is not Opus")
            self._context = _context("opus")
            self._context.extradata = packet
            self._context.layout = LAYOUTS[2 if packet[9:10] == b"\x02" else 1]
            return []
        if not self._tags_passed:
            self._tags_passed = True
            return []
        return self._allowance.spend(self._context.decode(Packet(packet)))

    def end(self) -> list[AudioFrame]:
        return self._context.decode(None) if self._context else []


def _context(codec: str) -> AudioCodecContext:
    return cast(AudioCodecContext, AudioCodecContext.create(codec, "r"))
