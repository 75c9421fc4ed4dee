"""Speech for tests, made by the embedded voice."""

import asyncio
import io
import wave
from functools import cache

import numpy as np

from gateway.realtime import sound
from providers.adapters.base import ModelConfig, ProviderConfig, SpeechRequest
from providers.adapters.local import LocalAdapter


@cache
def spoken(text: str) -> sound.Samples:
    """`text` in a voice that the embedded recogniser understands, 24 kHz."""
    adapter = LocalAdapter(ProviderConfig("local", "local"))
    request = SpeechRequest(text, voice="en-us", speed=0.9)
    speech = asyncio.run(adapter.speak(ModelConfig("espeak-ng"), request))
    with wave.open(io.BytesIO(speech.audio)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    resampler = sound.Resampler(speech.sample_rate, 24_000)
    return np.concatenate([resampler.push(samples), resampler.flush()])
