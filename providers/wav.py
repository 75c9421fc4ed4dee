"""WAV files, with nothing but the standard library: engines use this, too."""

import io
import wave


def wav_file(pcm: bytes, rate: int) -> bytes:
    """A WAV file of 16-bit mono PCM at `rate` Hz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def pcm_of(file: bytes) -> tuple[bytes, int]:
    """The PCM in a WAV file of that kind, and its rate in Hz. Raises wave.Error."""
    with wave.open(io.BytesIO(file)) as reader:
        return reader.readframes(reader.getnframes()), reader.getframerate()
