import asyncio
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.handlers.asgi import ASGIRequest
from django.test import RequestFactory
from storages.backends.s3 import S3Storage

from datasets.audio_response import CHUNK, audio_response, safe_name
from datasets.models import Audio
from datasets.services import add_audio_sample, create_dataset
from tests.datasets.uploads import wav_file


@pytest.fixture
def sample(workspace):
    dataset = create_dataset(workspace=workspace, name="Calls")
    return add_audio_sample(dataset=dataset, file=wav_file(), filename="hello.wav")


@pytest.fixture
def content(sample):
    return Path(sample.audio.file.path).read_bytes()


@pytest.fixture
def fetch(api, sample):
    """fetch(Range="...") -> (response, body)"""

    def get(**headers):
        response = api.get(f"/api/v1/samples/{sample.pk}/audio/", headers=headers)
        return response, response.getvalue()

    return get


def test_the_whole_audio_is_sent_with_its_type_and_a_safe_name(fetch, content, sample):
    response, body = fetch()
    assert (response.status_code, body) == (200, content)
    assert response["Content-Type"] == sample.audio.mime_type
    assert response["Content-Length"] == str(len(content))
    assert response["Accept-Ranges"] == "bytes"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"] == 'inline; filename="hello.wav"'


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, None),
        ("bytes=100-199", 100, 199),
        ("bytes=1000-", 1000, None),
        ("bytes=-500", -500, None),
        ("bytes=100-99999999", 100, None),
        ("bytes=-99999999", 0, None),
    ],
)
def test_a_range_is_sent_alone(fetch, content, asked, first, last):
    response, body = fetch(Range=asked)
    size = len(content)
    start, end = first % size, size - 1 if last is None else last
    assert (response.status_code, body) == (206, content[start : end + 1])
    assert response["Content-Range"] == f"bytes {start}-{end}/{size}"
    assert response["Content-Length"] == str(end - start + 1)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_answered_with_the_size(fetch, content, asked):
    response, body = fetch(Range=asked)
    assert (response.status_code, body) == (416, b"")
    assert response["Content-Range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=0-1,5-6", ""])
def test_what_is_no_single_range_is_ignored(fetch, content, asked):
    response, body = fetch(Range=asked)
    assert (response.status_code, body) == (200, content)


def test_a_range_of_another_version_gets_the_whole_audio(fetch, content, sample):
    assert fetch(Range="bytes=0-9", **{"If-Range": '"other"'})[1] == content
    assert fetch(Range="bytes=0-9", **{"If-Range": f'"{sample.audio.sha256}"'})[1] == content[:10]


def test_audio_that_the_browser_has_is_not_sent_again(fetch, sample):
    response, body = fetch(**{"If-None-Match": f'"{sample.audio.sha256}"'})
    assert (response.status_code, body) == (304, b"")


def test_a_player_that_accepts_only_audio_is_served(fetch, content):
    assert fetch(Accept="audio/wav")[1] == content


def test_a_sample_without_audio_has_none_to_hear(api, workspace):
    prompts = create_dataset(workspace=workspace, name="Prompts", task="tts")
    made = api.post(f"/api/v1/datasets/{prompts.pk}/samples/", {"text": "Hello."}).json()
    assert api.get(f"/api/v1/samples/{made['id']}/audio/").status_code == 404


def test_audio_that_is_missing_from_the_storage_answers_404(fetch, sample):
    Path(sample.audio.file.path).unlink()
    assert fetch()[0].status_code == 404


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd.wav", "_.._etc_passwd.wav"),
        ('a"b\r\nSet-Cookie: x.wav', "a_b__Set-Cookie_ x.wav"),
        ("Gespräch 文.wav", "Gespräch 文.wav"),
        ("\u202egnp.wav", "_gnp.wav"),
        (".wav", "audio.wav"),
        ("x" * 300 + ".wav", "x" * 100 + ".wav"),
    ],
)
def test_a_name_is_made_safe_to_save_under(name, safe):
    assert safe_name(name) == safe


def test_a_name_in_any_script_survives_the_header(sample, rf):
    response = audio_response(rf.get("/"), sample.audio, "Gespräch")
    response.close()
    assert response["Content-Disposition"] == "inline; filename*=utf-8''Gespr%C3%A4ch.wav"


def test_under_asgi_the_audio_is_streamed_in_chunks_without_reading_it_whole(sample, tmp_path):
    big = tmp_path / "big.wav"
    big.write_bytes(b"x" * (3 * CHUNK))
    sample.audio.file.name = str(big)
    sample.audio.file.storage = FileSystemStorage(location=tmp_path)

    async def read():
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        response = audio_response(ASGIRequest(scope, None), sample.audio, "big")
        assert response.is_async
        return [len(chunk) async for chunk in response]

    assert asyncio.run(read()) == [CHUNK] * 3


def test_under_asgi_a_listener_who_leaves_closes_the_file(sample):
    async def leave():
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        body = aiter(audio_response(ASGIRequest(scope, None), sample.audio, "a"))
        await anext(body)
        await body.aclose()

    asyncio.run(leave())  # an open file would fail the test with its ResourceWarning


def test_audio_in_a_bucket_is_answered_by_a_signed_address(sample, monkeypatch):
    bucket = S3Storage(
        bucket_name="speech",
        access_key="ak",
        secret_key="sk",
        region_name="eu-central-1",
        endpoint_url="http://127.0.0.1:9",
        querystring_auth=True,
    )
    monkeypatch.setattr(Audio._meta.get_field("file"), "storage", bucket)
    audio = Audio.objects.get(pk=sample.audio_id)
    response = audio_response(RequestFactory().get("/"), audio, "hello")
    assert response.status_code == 302
    assert response["Location"].startswith(f"http://127.0.0.1:9/speech/{audio.file.name}?")
    assert "X-Amz-Signature=" in response["Location"] or "Signature=" in response["Location"]
    assert "response-content-type=audio" in response["Location"]
    assert response["Cache-Control"] == "no-store"
