"""Audio into a format and size that a model takes, as a process of its own: `python -m providers.engines.transcoder`.

No options. Request `{"source", "target", "formats", "max_bytes", "seconds"}`: two paths, the containers that are taken,
the most bytes that the file may have (null: any), and how long the audio is. Answer `{"format"}`: the container that
was written.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from providers.engines.protocol import EngineError, Handler, Message, serve
from providers.engines.sound import FENCE

SOUND_SHARE = 0.9  # of a file's bytes that the sound itself may have
SPEECH_RATE = 24_000  # Hz, mono: how speech is compressed


@dataclass(frozen=True)
class Target:
    """What can be written. `bit_rates`: the lowest at which speech is still whole, and the highest that is of use."""

    format: str  # as models name the containers they take, and FFmpeg too
    codec: Literal["flac", "pcm_s16le", "libopus", "libmp3lame"]
    bit_rates: tuple[int, int] | None = None  # None: without loss


# In the order in which they are tried: what loses nothing comes first.
TARGETS = (
    Target("flac", "flac"),
    Target("wav", "pcm_s16le"),
    Target("ogg", "libopus", (12_000, 64_000)),
    Target("mp3", "libmp3lame", (32_000, 96_000)),
)
FORMATS = tuple(target.format for target in TARGETS)


class _TooLarge(Exception):  # noqa: N818
    """The file would have more bytes than it may."""


def load(options: dict[str, Any]) -> Handler:
    return transcode


def transcode(request: dict[str, Any]) -> Message:
    """Raises EngineError: `audio_unreadable`, or `audio_too_long` where no format makes the audio small enough."""
    for target in TARGETS:
        if target.format in request["formats"]:
            try:
                _Writing(target, request).run()
            except _TooLarge:
                continue
            return {"format": target.format}, b""
    raise EngineError(
        "audio_too_long", f"The model takes files of {request['max_bytes']} bytes; even compressed this one has more."
    )


class _Writing:
    """One try with one format. Memory does not grow with the audio."""

    def __init__(self, target: Target, request: dict[str, Any]) -> None:
        self.target, self.path, self.source = target, Path(request["target"]), Path(request["source"])
        self.max_bytes: int | None = request["max_bytes"]
        self.seconds: float = request["seconds"]
        self.bytes = 0

    def run(self) -> None:
        """Raises _TooLarge as soon as it is so, and EngineError."""
        try:
            with self.source.open("rb") as file, av.open(file, "r", options=FENCE) as audio:
                if not audio.streams.audio:
                    raise EngineError("audio_unreadable", "The file has no audio stream.")
                with av.open(str(self.path), "w", format=self.target.format) as out:
                    self._transcode(audio, out)
        except (EngineError, _TooLarge):
            raise
        except Exception as error:  # damaged files raise anything, from ValueError to PermissionError
            message = f"The audio could not be decoded ({type(error).__name__})."
            raise EngineError("audio_unreadable", message) from error
        self._count(self.path.stat().st_size)

    def _transcode(self, audio: InputContainer, out: OutputContainer) -> None:
        heard = audio.streams.audio[0]
        written = self._stream(heard, out)
        context = written.codec_context
        resampler = av.AudioResampler(context.format, context.layout, context.rate)
        decoded = 0.0
        for frame in audio.decode(heard):
            decoded += frame.samples / frame.sample_rate
            if decoded > self.seconds * 1.02 + 5:
                raise EngineError(
                    "audio_unreadable", f"The audio is longer than the {self.seconds:.0f} s it should be."
                )
            for part in resampler.resample(frame):
                self._encode(part, written, out)
        if decoded < self.seconds * 0.98 - 0.5:
            message = f"Only {decoded:.1f} of the audio's {self.seconds:.1f} s could be decoded."
            raise EngineError("audio_unreadable", message)
        for part in resampler.resample(None):
            self._encode(part, written, out)
        self._encode(None, written, out)

    def _stream(self, heard: AudioStream, out: OutputContainer) -> AudioStream:
        codec = self.target.codec
        if self.target.bit_rates is None:
            return out.add_stream(codec, rate=heard.rate, layout=heard.layout.name, format="s16")
        lowest, highest = self.target.bit_rates
        fitting = self.max_bytes * 8 * SOUND_SHARE / max(self.seconds, 1.0) if self.max_bytes else highest
        if fitting < lowest:
            raise _TooLarge
        constant = {"vbr": "off"} if codec == "libopus" else {}  # its variable rate goes far beyond what was asked for
        stream = out.add_stream(codec, rate=SPEECH_RATE, layout="mono", options=constant)
        stream.codec_context.bit_rate = min(int(fitting), highest)
        return stream

    def _encode(self, frame: AudioFrame | None, written: AudioStream, out: OutputContainer) -> None:
        for packet in written.encode(frame):
            self._count(self.bytes + packet.size)
            out.mux(packet)

    def _count(self, size: int) -> None:
        self.bytes = size
        if self.max_bytes is not None and size > self.max_bytes:
            raise _TooLarge


if __name__ == "__main__":
    serve(load)
