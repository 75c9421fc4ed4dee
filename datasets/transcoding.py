"""Converts stored audio for providers that do not take its format."""

from contextlib import closing
from typing import BinaryIO, Literal, Protocol, cast

import av

from core.temporary import named_file
from datasets.errors import AudioReason, InvalidAudio
from datasets.probe import FENCE


class Readable(Protocol):
    def open(self) -> BinaryIO: ...


def as_flac(source: Readable) -> BinaryIO:
    """The audio as FLAC, losslessly but for its depth of 16 bits, in a temporary file that is gone when closed.

    Rate and channels stay (FLAC takes up to 8). Memory does not grow with the audio. Raises InvalidAudio.
    """
    return _transcoded(source, "flac", "flac")


def as_wav(source: Readable) -> BinaryIO:
    """Convert the audio to WAV of 16 bits, in a temporary file as by `as_flac`."""
    return _transcoded(source, "wav", "pcm_s16le")


def _transcoded(source: Readable, container: str, codec: Literal["flac", "pcm_s16le"]) -> BinaryIO:
    target = named_file(f".{container}")
    try:
        with closing(source.open()) as file, av.open(file, "r", options=FENCE) as audio:
            with av.open(target.name, "w", format=container) as out:
                heard = audio.streams.audio[0]
                written = out.add_stream(codec, rate=heard.rate, layout=heard.layout.name, format="s16")
                for frame in audio.decode(heard):
                    frame.pts = None
                    out.mux(written.encode(frame))
                out.mux(written.encode(None))
    except (av.FFmpegError, ValueError, PermissionError, IndexError) as error:
        target.close()
        raise InvalidAudio(AudioReason.DAMAGED, "The stored audio could not be transcoded. Upload it again.") from error
    return cast(BinaryIO, target)
