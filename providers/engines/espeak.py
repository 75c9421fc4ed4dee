"""Text to speech by eSpeak NG, as a process of its own: `python -m providers.engines.espeak`.

No options. Request `{"text", "voice", "speed"}` (voice by eSpeak's name, speed 1 is 175 words a minute), answer
`{"sample_rate"}` with a WAV file as its body. The library's state is global: one process a request, and a seed, give
the same bytes for the same request.
"""

import ctypes
from typing import Any

from providers.engines.protocol import INSTALL_LOCAL, EngineError, Handler, Message, serve
from providers.wav import wav_file

try:
    import espeakng_loader
except ImportError:
    espeakng_loader = None

# Of speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
PARAMETER_RATE = 1
SEED = 1  # of the breath in some voices, which would be seeded by the time
CHARACTERS_UTF8 = 1
OK = 0
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

BUFFER_MILLISECONDS = 100
WORDS_A_MINUTE = 175
SLOWEST, FASTEST = 80, 450  # words a minute that the library takes


def load(options: dict[str, Any]) -> Handler:
    if espeakng_loader is None:
        raise EngineError("engine_missing", f"eSpeak NG is not installed. {INSTALL_LOCAL}")
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    data = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MILLISECONDS, data, INITIALIZE_DONT_EXIT)
    if rate <= 0:
        raise EngineError("engine_missing", f"eSpeak NG does not start. {INSTALL_LOCAL}")
    library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))

    def speak(request: dict[str, Any]) -> Message:
        choose_voice(library, request["voice"], request["speed"])
        pcm = synthesize(library, request["text"])
        if not pcm:
            raise EngineError("empty_output", "The voice has no sound for this text.")
        return {"sample_rate": rate}, wav_file(pcm, rate)

    return speak


def choose_voice(library: ctypes.CDLL, voice: str, speed: float) -> None:
    if library.espeak_SetVoiceByName(voice.encode()) != OK:
        raise EngineError(
            "capability_not_supported", f"There is no voice {voice!r}; there are en-us, en-us+f5, de, fr, cmn and more."
        )
    words_a_minute = round(WORDS_A_MINUTE * speed)
    if not SLOWEST <= words_a_minute <= FASTEST:
        slowest, fastest = SLOWEST / WORDS_A_MINUTE, FASTEST / WORDS_A_MINUTE
        raise EngineError("capability_not_supported", f"Speed must be from {slowest:.2f} to {fastest:.2f}.")
    library.espeak_SetParameter(PARAMETER_RATE, words_a_minute, 0)


def synthesize(library: ctypes.CDLL, text: str) -> bytes:
    """16-bit mono PCM."""
    pcm = bytearray()

    @CALLBACK
    def collect(samples: Any, count: int, events: int) -> int:
        if samples and count > 0:
            pcm.extend(ctypes.string_at(samples, count * 2))
        return 0

    library.espeak_SetSynthCallback(collect)
    encoded = text.replace("\0", " ").encode()
    library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 0, 0, CHARACTERS_UTF8, None, None)
    library.espeak_Synchronize()
    return bytes(pcm)


if __name__ == "__main__":
    serve(load)
