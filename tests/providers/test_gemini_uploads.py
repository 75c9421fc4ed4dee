"""Uploads to Gemini and deletes there, which go without the SDK."""

import gzip
import io
import json

import pytest

from providers.adapters.base import ProviderConfig, ProviderError
from providers.adapters.gemini import GeminiAdapter
from providers.reasons import Reason
from tests.servers.byte_server import server
from tests.servers.gemini import API_KEY, GeminiServer, sha256_of


def adapter_at(url, key):
    return GeminiAdapter(ProviderConfig(kind="gemini", name="g", base_url=url, credential=key))


def test_uploads_go_to_a_private_address_only_where_the_environment_names_it(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with GeminiServer.start() as gemini:
        adapter = adapter_at(gemini.base_url, API_KEY)
        with pytest.raises(ProviderError, match=r"127\.0\.0\.1 is not called"):
            adapter.upload_file("name", io.BytesIO(b"RIFF"), 4, "audio/wav")
        adapter.close()
        settings.GEMINI_API_KEY, settings.GEMINI_BASE_URL = API_KEY, gemini.base_url
        adapter = adapter_at("", "")
        adapter.upload_file("name", io.BytesIO(b"RIFF"), 4, "audio/wav")
        assert len(gemini.state()["files"]) == 1
        adapter.close()


def test_uploads_at_an_address_where_nobody_listens_say_so_and_can_be_tried_again():
    with server() as served:
        pass
    adapter = adapter_at(served.url, "key")
    with pytest.raises(ProviderError, match="connection to the provider failed") as caught:
        adapter.upload_file("name", io.BytesIO(b"RIFF"), 4, "audio/wav")
    assert (caught.value.reason, caught.value.retryable) == (Reason.PROVIDER_ERROR, True)
    adapter.close()


def test_what_was_uploaded_is_there_and_what_was_deleted_is_not():
    with GeminiServer.start() as gemini:
        adapter = adapter_at(gemini.base_url, API_KEY)
        audio = bytes(range(256)) * (1 << 13)  # two pieces
        adapter.upload_file("name", io.BytesIO(audio), len(audio), "audio/wav")
        [file] = gemini.state()["files"]
        assert (file["name"], file["sha256"]) == ("files/name", sha256_of(audio))
        adapter.delete_file("name")
        assert gemini.state()["files"] == []
        adapter.delete_file("name")  # gone is gone
        adapter.close()


def test_an_upload_whose_connection_broke_off_can_be_tried_again():
    audio = bytes(1 << 21)
    with GeminiServer.start() as gemini:
        gemini.fault("upload_chunk", "drop", effect=True, times=1)
        adapter = adapter_at(gemini.base_url, API_KEY)
        with pytest.raises(ProviderError) as caught:
            adapter.upload_file("name", io.BytesIO(audio), len(audio), "audio/wav")
        assert caught.value.retryable
        adapter.upload_file("name", io.BytesIO(audio), len(audio), "audio/wav")
        assert [file["name"] for file in gemini.state()["files"]] == ["files/name"]
        adapter.close()


def test_packed_answers_are_unpacked():
    resource = {"name": "files/name", "uri": "https://files.example/name", "state": "ACTIVE"}
    packed = gzip.compress(json.dumps({"file": resource}).encode())
    head = b"HTTP/1.1 200 OK\r\nX-Goog-Upload-Status: %s\r\n"
    begun = head % b"active" + b"X-Goog-Upload-URL: http://elsewhere.example/files?id=1\r\nContent-Length: 0\r\n\r\n"
    done = head % b"final" + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    with server([begun, done]) as served:
        adapter = adapter_at(served.url, "key")
        assert adapter.upload_file("name", io.BytesIO(b"RIFF"), 4, "audio/wav").state == "active"
        adapter.close()
    assert b"/files?id=1 " in served.requests[1]  # at the host that we know, whatever the answer names


def test_a_stored_file_that_is_shorter_than_it_should_be_is_not_the_providers_fault():
    with GeminiServer.start() as gemini:
        adapter = adapter_at(gemini.base_url, API_KEY)
        with pytest.raises(OSError, match="shorter than it should be"):
            adapter.upload_file("name", io.BytesIO(b"RIFF"), 5, "audio/wav")
        assert gemini.state()["files"] == []
        adapter.close()
