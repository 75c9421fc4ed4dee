"""Speech for tests, made by the embedded voice."""

import asyncio
import io
import wave
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from providers.adapters.base import ModelConfig, ProviderConfig, SpeechRequest
from providers.adapters.local import LocalAdapter
from voice.audio import pcm


async def _speak(text):
    adapter = LocalAdapter(ProviderConfig("local", "local"))
    return await adapter.speak(ModelConfig("espeak-ng"), SpeechRequest(text, voice="en-us", speed=0.9))


@cache
def spoken(text: str) -> pcm.Samples:
    """`text` in a voice that the embedded recogniser understands, 24 kHz."""
    with ThreadPoolExecutor(1) as thread:  # an event loop may be running in this one
        speech = thread.submit(asyncio.run, _speak(text)).result()
    with wave.open(io.BytesIO(speech.audio)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    resampler = pcm.Resampler(speech.sample_rate, 24_000)
    return np.concatenate([resampler.push(samples), resampler.flush()])
