"""Files as a client uploads them."""

import io

from tests.audio import make_wav


def wav_file(name: str = "tone.wav", seconds: float = 1.0, freq: float = 440) -> io.BytesIO:
    """A tone with a name."""
    return named(name, make_wav(seconds, freq=freq))


def named(name: str, content: bytes) -> io.BytesIO:
    file = io.BytesIO(content)
    file.name = name
    return file
