"""Fixtures of tests that run against the Gemini stand-in."""

import pytest

from providers.models import SpeechModel
from providers.registry import close_adapters
from tests.evaluations.gemini import make_gemini
from tests.servers.gemini import GeminiServer


@pytest.fixture(scope="session")
def gemini_server():
    with GeminiServer.start() as server:
        yield server


@pytest.fixture
def gemini(gemini_server, settings):
    """The stand-in as it is when new, and settings that do not keep a test waiting."""
    settings.BATCH_POLL_SECONDS = 0.2
    settings.PROVIDER_TIMEOUT_SECONDS = 2
    settings.UPLOAD_CONCURRENCY = 4
    gemini_server.reset()
    yield gemini_server
    close_adapters()


@pytest.fixture
def flash(workspace, gemini):
    return SpeechModel.objects.get(provider=make_gemini(workspace, gemini), name="gemini-3.8-flash")
