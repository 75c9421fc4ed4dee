"""Speech to text by PocketSphinx, as a process of its own: `python -m providers.engines.sphinx`.

Options are the decoder's. Request `{"path", "max_seconds"}`, answer `{"text", "words", "processing_seconds"}`, with
words as `[word, start, end]` in seconds from the audio's start.
"""

import re
import time
from pathlib import Path
from typing import Any

from providers.engines import sound
from providers.engines.protocol import INSTALL_LOCAL, EngineError, Handler, Message, serve

try:
    import pocketsphinx
except ImportError:
    pocketsphinx = None

VAD_MODE = 2  # of 0 (everything is speech) to 3
VAD_FRAME_SECONDS = 0.02
# White noise counts as speech for its first frames, until the detector knows it.
MIN_SPEECH_FRAMES = 6

FRAMES_A_SECOND = 100
NOT_WORDS = re.compile(r"\(\d+\)|<[^>]*>|\[[^\]]*\]")


def load(options: dict[str, Any]) -> Handler:
    if pocketsphinx is None:
        raise EngineError("engine_missing", f"PocketSphinx is not installed. {INSTALL_LOCAL}")
    decoder = pocketsphinx.Decoder(loglevel="FATAL", **options)

    def transcribe(request: dict[str, Any]) -> Message:
        start = time.perf_counter()
        samples = sound.decode(Path(request["path"]), request["max_seconds"])
        words = recognize(decoder, samples) if has_speech(samples) else []
        text = " ".join(word for word, _, _ in words)
        return {"text": text, "words": words, "processing_seconds": time.perf_counter() - start}, b""

    return transcribe


def has_speech(samples: sound.Samples) -> bool:
    """False for silence, which the recogniser would take for a word."""
    vad = pocketsphinx.Vad(VAD_MODE, sound.RATE, VAD_FRAME_SECONDS)
    pcm, size = samples.tobytes(), vad.frame_bytes
    frames = (pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size))
    return bool(sum(vad.is_speech(frame) for frame in frames) >= MIN_SPEECH_FRAMES)


def recognize(decoder: Any, samples: sound.Samples) -> list[tuple[str, float, float]]:
    """The words in lower case and without punctuation, each with its start and end in seconds, whatever was recognised
    before."""
    treated = sound.with_noise_floor(samples)
    before = sound.PADDING / sound.RATE if len(treated) > len(samples) else 0.0
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(treated.tobytes(), full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    longest = len(samples) / sound.RATE

    def moment(frame: int) -> float:
        return round(min(max(frame / FRAMES_A_SECOND - before, 0.0), longest), 2)

    said = ((NOT_WORDS.sub("", part.word).strip(), part) for part in decoder.seg())
    return [(word, moment(part.start_frame), moment(part.end_frame + 1)) for word, part in said if word]


if __name__ == "__main__":
    serve(load)
