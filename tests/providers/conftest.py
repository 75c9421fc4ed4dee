import asyncio
import hashlib
import tempfile
import wave
from contextlib import contextmanager

import numpy as np
import pytest

from providers.adapters.base import ModelConfig, ProviderConfig, SpeechRequest, TranscriptionRequest
from providers.adapters.local import LocalAdapter
from providers.engines import pool
from tests.servers.openai import OpenAIServer

POCKETSPHINX = ModelConfig("pocketsphinx")
FAST = ModelConfig("pocketsphinx", {"ds": 2, "maxhmmpf": 3000, "maxwpf": 5})
ESPEAK = ModelConfig("espeak-ng", {"voice": "en-us"})


class FileAudio:
    """A file, as a source of audio."""

    mime_type = "audio/wav"

    def __init__(self, path, duration):
        self.path, self.duration = path, duration
        self.size = path.stat().st_size

    @property
    def sha256(self):
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def open(self):
        return self.path.open("rb")

    @contextmanager
    def local_path(self):
        yield self.path


class Engines:
    """The embedded engines, as a caller without an event loop sees them."""

    def __init__(self, folder):
        self.adapter, self.folder = LocalAdapter(ProviderConfig("local", "local")), folder

    def hear(self, path, model=POCKETSPHINX, seconds=5.0):
        return asyncio.run(self.adapter.transcribe(model, TranscriptionRequest(FileAudio(path, seconds))))

    def hear_all(self, paths, model=POCKETSPHINX):
        async def all_at_once():
            requests = (TranscriptionRequest(FileAudio(path, 5.0)) for path in paths)
            return await asyncio.gather(*(self.adapter.transcribe(model, request) for request in requests))

        return asyncio.run(all_at_once())

    def speak(self, text, model=ESPEAK, **settings):
        return asyncio.run(self.adapter.speak(model, SpeechRequest(text, **settings)))

    def spoken_file(self, text, name="spoken.wav", **settings):
        path = self.folder / name
        path.write_bytes(self.speak(text, **settings).audio)
        return path


def write_wav(path, samples, rate=16000):
    """16-bit mono."""
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.asarray(samples).astype(np.int16).tobytes())
    return path


@pytest.fixture
def own_pool(tmp_path, monkeypatch):
    """A pool that waits for nobody else on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pool.shared_pool, "_made", {})
    yield
    pool.shared_pool().close()


@pytest.fixture
def engines(own_pool, tmp_path):
    """Skips where the engines are not installed."""
    for package in ("pocketsphinx", "espeakng_loader"):
        pytest.importorskip(package, reason="the embedded engines are not installed (requirements-local.lock)")
    return Engines(tmp_path)


@pytest.fixture(scope="module")
def openai_server():
    with OpenAIServer.start() as server:
        yield server


@pytest.fixture
def openai(openai_server):
    """The stand-in, as if started anew."""
    openai_server.reset()
    return openai_server
