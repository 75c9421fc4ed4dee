"""The Gemini stand-in answers the real SDK as Google does."""

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests.servers.gemini import API_KEY, GeminiServer, sha256_of, words_for

AUDIO = b"RIFF" + bytes(range(256)) * 40
MODEL = "gemini-3.8-flash"


@pytest.fixture(scope="module")
def server():
    with GeminiServer.start() as server:
        yield server


@pytest.fixture
def gemini(server):
    server.reset()
    return server


@pytest.fixture
def client(gemini):
    with make_client(gemini) as client:
        yield client


def make_client(gemini, key=API_KEY, timeout=5000):
    options = types.HttpOptions(base_url=gemini.base_url, api_version="v1beta", timeout=timeout)
    return genai.Client(api_key=key, http_options=options)


def upload(client, name=None, data=AUDIO, mime_type="audio/wav", display_name=None):
    config = types.UploadFileConfig(name=name, mime_type=mime_type, display_name=display_name)
    return client.files.upload(file=io.BytesIO(data), config=config)


def request_for(file, prompt="Transcribe."):
    audio = {"fileData": {"fileUri": file.uri, "mimeType": "audio/wav"}}
    return {"contents": [{"role": "user", "parts": [{"text": prompt}, audio]}]}


def submit(client, requests, display_name="run-1", model=MODEL):
    """requests: key -> request"""
    lines = "".join(json.dumps({"key": key, "request": request}) + "\n" for key, request in requests.items())
    source = upload(client, data=lines.encode(), mime_type="application/json")
    return client.batches.create(model=model, src=source.name, config={"display_name": display_name})


def results(client, job):
    data = client.files.download(file=client.batches.get(name=job.name).dest.file_name)
    return {line["key"]: line for line in map(json.loads, data.decode().splitlines())}


# files


def test_a_file_keeps_the_name_that_its_caller_chose(gemini, client):
    file = upload(client, name="clip-1", display_name="Äpfel.wav")

    assert (file.name, file.display_name, file.mime_type) == ("files/clip-1", "Äpfel.wav", "audio/wav")
    assert file.size_bytes == len(AUDIO)
    assert file.state == types.FileState.ACTIVE
    assert file.uri == f"{gemini.base_url}/v1beta/files/clip-1"
    assert client.files.get(name="files/clip-1") == file
    assert gemini.state()["files"][0]["sha256"] == sha256_of(AUDIO)


def test_a_file_of_many_chunks_arrives_whole(gemini, client):
    data = os.urandom(1024) * (17 * 1024)  # 17 MiB: three chunks of at most 8

    file = upload(client, data=data)

    assert file.size_bytes == len(data)
    assert gemini.state()["files"][0]["sha256"] == sha256_of(data)
    assert gemini.state()["calls"]["upload_chunk"] == 3


def test_an_upload_can_be_asked_how_far_it_has_come(gemini):
    with httpx.Client(base_url=gemini.base_url) as http:
        headers = {
            "x-goog-api-key": API_KEY,
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": "10",
            "x-goog-upload-header-content-type": "audio/wav",
        }
        started = http.post("/upload/v1beta/files", headers=headers, json={"file": {}})
        url = started.headers["x-goog-upload-url"]
        first = {"x-goog-upload-command": "upload", "x-goog-upload-offset": "0"}
        http.post(url, content=b"12345", headers=first)
        asked = http.post(url, headers={"x-goog-upload-command": "query"})
        last = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "5"}
        done = http.post(url, content=b"67890", headers=last)

    assert asked.headers["x-goog-upload-status"] == "active"
    assert asked.headers["x-goog-upload-size-received"] == "5"
    assert done.json()["file"]["sizeBytes"] == "10"


def test_a_name_that_is_taken_is_refused_until_its_file_is_deleted(client):
    upload(client, name="clip-1")

    with pytest.raises(errors.ClientError) as refused:
        upload(client, name="clip-1")
    assert (refused.value.code, refused.value.status) == (409, "ALREADY_EXISTS")

    client.files.delete(name="files/clip-1")
    assert upload(client, name="clip-1").name == "files/clip-1"


@pytest.mark.parametrize("name", ["Clip", "clip_1", "-clip", "clip-", "a" * 41])
def test_a_bad_name_is_refused(client, name):
    with pytest.raises(errors.ClientError) as refused:
        upload(client, name=name)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("mime_type", ["audio/mp4", "audio/webm"])
def test_audio_that_gemini_does_not_take_is_refused(client, mime_type):
    with pytest.raises(errors.ClientError, match="Unsupported MIME type"):
        upload(client, mime_type=mime_type)


@pytest.mark.parametrize("code", [403, 404])
def test_a_file_that_is_not_there_is_forbidden_or_not_found(gemini, client, code):
    gemini.settings(missing_file_status=code)
    for call in (client.files.get, client.files.delete):
        with pytest.raises(errors.ClientError) as missing:
            call(name="files/never-was")
        assert missing.value.code == code


def test_files_are_listed_page_by_page_newest_first(client):
    names = [upload(client, name=f"clip-{n}").name for n in range(7)]

    listed = [file.name for file in client.files.list(config={"page_size": 3})]

    assert listed == names[::-1]


def test_a_file_is_processed_then_active_and_gone_after_two_days(gemini, client):
    gemini.settings(file_processing_seconds=60)
    file = upload(client, name="clip-1")
    assert file.state == types.FileState.PROCESSING

    gemini.advance(61)
    assert client.files.get(name=file.name).state == types.FileState.ACTIVE

    gemini.advance(48 * 3600)
    with pytest.raises(errors.ClientError, match="may not exist"):
        client.files.get(name=file.name)
    assert gemini.state()["files_expired"] == 1


def test_the_key_is_checked(gemini):
    with make_client(gemini, key="wrong") as client, pytest.raises(errors.ClientError) as refused:
        upload(client)
    assert refused.value.code == 400
    assert refused.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


# batches


def test_a_batch_of_an_uploaded_file_is_found_polled_and_collected(gemini, client):
    gemini.settings(batch_pending_seconds=10, batch_running_seconds=50)
    gemini.answers({sha256_of(AUDIO): "नमस्ते दुनिया"})
    audio, other = upload(client), upload(client, data=b"another one")
    job = submit(client, {"r1": request_for(audio), "r2": request_for(other)}, display_name="run-7 shard-2")

    assert job.state == types.JobState.JOB_STATE_PENDING
    found = [one.name for one in client.batches.list(config={"page_size": 5}) if one.display_name == "run-7 shard-2"]
    assert found == [job.name]
    gemini.advance(11)
    assert client.batches.get(name=job.name).state == types.JobState.JOB_STATE_RUNNING
    gemini.advance(50)
    ended = client.batches.get(name=job.name)
    assert ended.state == types.JobState.JOB_STATE_SUCCEEDED
    assert ended.done

    lines = results(client, job)
    first = lines["r1"]["response"]
    assert first["candidates"][0]["content"]["parts"][0]["text"] == "नमस्ते दुनिया"
    assert first["candidates"][0]["finishReason"] == "STOP"
    assert first["usageMetadata"]["candidatesTokenCount"] == 2
    second = types.GenerateContentResponse.model_validate(lines["r2"]["response"])
    assert second.text == words_for(sha256_of(b"another one"))
    assert gemini.state()["submitted_keys"] == {"r1": 1, "r2": 1}
    client.files.delete(name=ended.dest.file_name)


def test_a_batch_of_inline_requests_answers_inline(client):
    contents = [{"parts": [{"inline_data": {"data": AUDIO, "mime_type": "audio/wav"}}]}]
    job = client.batches.create(model=MODEL, src=[{"contents": contents, "metadata": {"key": "r1"}}])

    answer = client.batches.get(name=job.name).dest.inlined_responses[0]

    assert answer.response.text == words_for(sha256_of(AUDIO))
    assert answer.metadata == {"key": "r1"}


def test_batches_are_listed_page_by_page_newest_first(client):
    audio = upload(client)
    names = [submit(client, {"r": request_for(audio)}, display_name=f"run-{n}").name for n in range(5)]

    assert [job.name for job in client.batches.list(config={"page_size": 2})] == names[::-1]


def test_a_batch_is_cancelled_once_and_deleted(gemini, client):
    gemini.settings(batch_running_seconds=60)
    job = submit(client, {"r": request_for(upload(client))})

    client.batches.cancel(name=job.name)

    assert client.batches.get(name=job.name).state == types.JobState.JOB_STATE_CANCELLED
    with pytest.raises(errors.ClientError) as late:
        client.batches.cancel(name=job.name)
    assert late.value.status == "FAILED_PRECONDITION"
    client.batches.delete(name=job.name)
    with pytest.raises(errors.ClientError) as gone:
        client.batches.get(name=job.name)
    assert gone.value.code == 404


def test_a_batch_of_a_model_without_batches_is_refused(client):
    with pytest.raises(errors.ClientError, match="not supported for batchGenerateContent"):
        submit(client, {"r": request_for(upload(client))}, model="gemini-3.5-transcribe")


def test_a_line_whose_file_is_gone_is_an_error_line(client):
    here, gone = upload(client), upload(client, name="gone", data=b"gone")
    client.files.delete(name="files/gone")
    job = submit(client, {"here": request_for(here), "gone": request_for(gone)})

    lines = results(client, job)

    assert "response" in lines["here"]
    assert lines["gone"]["error"]["code"] == 7
    assert "may not exist" in lines["gone"]["error"]["message"]


def test_too_many_batches_or_tokens_are_a_quota_error_that_says_when_to_come_back(gemini, client):
    gemini.settings(batch_running_seconds=60, max_concurrent_batches=1, quota_retry_seconds=12)
    requests = {"r": request_for(upload(client))}
    submit(client, requests)
    with pytest.raises(errors.ClientError) as busy:
        submit(client, requests)
    assert (busy.value.code, busy.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert busy.value.details["error"]["details"][-1]["retryDelay"] == "12s"

    gemini.settings(max_concurrent_batches=100, max_enqueued_tokens=40)
    with pytest.raises(errors.ClientError, match="enqueued tokens"):
        submit(client, requests)
    gemini.advance(61)  # the first batch ends
    gemini.settings(max_enqueued_tokens=5000)
    assert submit(client, requests).name


# direct answers


def test_inline_audio_is_answered_directly(gemini, client):
    gemini.answers({sha256_of(AUDIO): "hello there"})
    config = types.GenerateContentConfig(automatic_continuation=False, temperature=0)
    part = types.Part.from_bytes(data=AUDIO, mime_type="audio/wav")

    answer = client.models.generate_content(model=MODEL, contents=[part, "Transcribe."], config=config)

    assert answer.text == "hello there"
    details = {one.modality.value: one.token_count for one in answer.usage_metadata.prompt_tokens_details}
    assert details["AUDIO"] == len(AUDIO) // 1000
    assert gemini.state()["generated"] == {sha256_of(AUDIO): 1}


def test_an_uploaded_file_is_answered_directly(client):
    answer = client.models.generate_content(model=MODEL, contents=[upload(client), "Transcribe."])

    assert answer.text == words_for(sha256_of(AUDIO))


def test_models_are_listed_with_what_they_can_do(client):
    models = {model.name: model.supported_actions for model in client.models.list()}

    assert "batchGenerateContent" in models["models/gemini-3.8-flash"]
    assert "batchGenerateContent" not in models["models/gemini-3.5-transcribe"]
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"
    with pytest.raises(errors.ClientError, match="not found"):
        client.models.get(model="gemini-0")


# the server itself


def test_many_callers_at_once_are_all_served(gemini, client):
    def one(number):
        file = upload(client, name=f"clip-{number}", data=b"%d" % number)
        client.files.delete(name=file.name)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(200)))

    state = gemini.state()
    assert state["files"] == []
    assert (len(state["files_ever"]), state["files_deleted"]) == (200, 200)


def test_it_runs_in_a_process_of_its_own_and_ends_with_its_parent():
    command = [sys.executable, "-m", "tests.servers.gemini", "--port", "0", "--with-parent"]
    settings = json.dumps({"models": {"gemini-1": True}})
    with subprocess.Popen(
        [*command, "--settings", settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        gemini = GeminiServer(int(process.stdout.readline()))
        with make_client(gemini) as client:
            assert [model.name for model in client.models.list()] == ["models/gemini-1"]
        process.stdin.close()
        assert process.wait(120) == 0
