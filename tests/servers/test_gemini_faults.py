"""Each way in which the Gemini stand-in can fail, as the real SDK shows it."""

import io
import json
import warnings

import httpx2
import pytest
from google.genai import errors, types

from tests.servers.gemini import GeminiServer, sha256_of
from tests.servers.test_gemini_server import AUDIO, MODEL, make_client, request_for, results, submit, upload


@pytest.fixture(scope="module")
def server():
    with GeminiServer.start() as server:
        yield server


@pytest.fixture
def gemini(server):
    server.reset()
    return server


@pytest.fixture(scope="module")
def client(server):
    with make_client(server, timeout=400) as client:
        yield client


# an operation, and a call of it that needs what `here` has: an audio file, a batch, and its result file
CALLS = {
    "upload_start": lambda client, here: upload(client),
    "upload_chunk": lambda client, here: upload(client),
    "file_get": lambda client, here: client.files.get(name=here.file.name),
    "file_list": lambda client, here: list(client.files.list()),
    "file_delete": lambda client, here: client.files.delete(name=here.file.name),
    "batch_create": lambda client, here: submit(client, {"other": request_for(here.file)}),
    "batch_get": lambda client, here: client.batches.get(name=here.job.name),
    "batch_list": lambda client, here: list(client.batches.list()),
    "download": lambda client, here: client.files.download(file=here.results, destination=io.BytesIO()),
    "generate": lambda client, here: client.models.generate_content(model=MODEL, contents=[here.file]),
}


class Here:
    def __init__(self, client):
        self.file = upload(client)
        self.job = submit(client, {"r": request_for(self.file)})
        self.results = client.batches.get(name=self.job.name).dest.file_name


def call(client, gemini, operation, what, **details):
    here = Here(client)
    gemini.fault(operation, what, times=1, **details)
    return CALLS[operation](client, here)


@pytest.mark.parametrize("operation", [operation for operation in CALLS if operation != "upload_chunk"])
@pytest.mark.parametrize(
    ("status", "kind"), [(400, errors.ClientError), (429, errors.ClientError), (500, errors.ServerError)]
)
def test_an_error_answer_is_the_sdks_own_error(gemini, client, operation, status, kind):
    with pytest.raises(kind) as failed:
        call(client, gemini, operation, "status", status=status, message="not now")
    assert (failed.value.code, failed.value.message) == (status, "not now")


@pytest.mark.parametrize("operation", CALLS)
def test_a_dropped_connection_is_a_bare_transport_error(gemini, client, operation):
    with pytest.raises(httpx2.RemoteProtocolError):
        call(client, gemini, operation, "drop")


@pytest.mark.parametrize("operation", ["file_get", "batch_list", "download", "generate"])
def test_an_answer_that_stops_in_its_middle_is_a_bare_transport_error(gemini, client, operation):
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete"):
        call(client, gemini, operation, "cut")


def test_an_answer_that_is_late_is_a_bare_timeout(gemini, client):
    with pytest.raises(httpx2.ReadTimeout):
        call(client, gemini, "batch_get", "delay", seconds=1)


@pytest.mark.parametrize(
    "operation", ["file_get", "file_delete", "batch_create", "batch_get", "batch_list", "generate"]
)
def test_garbage_is_a_bare_json_error(gemini, client, operation):
    with pytest.raises(json.JSONDecodeError):
        call(client, gemini, operation, "garbage")


def test_garbage_and_nothing_at_an_upload_are_errors_of_other_kinds(gemini, client):
    for operation, what, kind in [
        ("upload_start", "garbage", KeyError),
        ("upload_start", "empty", KeyError),
        ("upload_chunk", "garbage", errors.UnknownApiResponseError),
        ("upload_chunk", "empty", TypeError),
    ]:
        with pytest.raises(kind):
            call(client, gemini, operation, what)


def test_an_empty_answer_is_an_object_without_anything_in_it(gemini, client):
    assert call(client, gemini, "file_get", "empty").name is None
    assert call(client, gemini, "batch_create", "empty").name is None
    assert call(client, gemini, "batch_get", "empty").state is None
    assert call(client, gemini, "generate", "empty").candidates is None
    assert call(client, gemini, "batch_list", "empty") == []  # as if there were no batches


def test_a_chunk_refused_for_now_is_sent_again_by_the_sdk(gemini, client):
    gemini.fault("upload_chunk", "status", status=503, times=1)

    assert upload(client).size_bytes == len(AUDIO)
    assert gemini.state()["calls"]["upload_chunk"] == 2


def test_an_upload_whose_answer_was_lost_is_there_under_its_name(gemini, client):
    gemini.fault("upload_chunk", "drop", effect=True, match="clip-1", times=1)
    with pytest.raises(httpx2.TransportError):
        upload(client, name="clip-1")

    with pytest.raises(errors.ClientError) as taken:
        upload(client, name="clip-1")
    assert taken.value.code == 409
    assert client.files.get(name="files/clip-1").size_bytes == len(AUDIO)


def test_a_batch_whose_answer_was_lost_is_found_by_its_name(gemini, client):
    requests = {"r": request_for(upload(client))}
    gemini.settings(batch_listed_after_seconds=5)
    gemini.fault("batch_create", "drop", effect=True, match="run-9", times=1)
    with pytest.raises(httpx2.TransportError):
        submit(client, requests, display_name="run-9")

    assert [job.display_name for job in client.batches.list()] == []  # it takes a while
    gemini.advance(5)
    assert [job.display_name for job in client.batches.list()] == ["run-9"]


def test_the_submission_of_one_model_alone_is_refused(gemini, client):
    requests = {"r": request_for(upload(client))}
    gemini.fault("batch_create", "status", status=400, match="gemini-2.5-pro")

    with pytest.raises(errors.ClientError):
        submit(client, requests, model="gemini-2.5-pro")
    assert submit(client, requests, model="gemini-2.5-flash").name


def test_uploads_fail_hang_or_expire_as_told(gemini, client):
    gemini.fault("file", "FAILED", match="bad")
    gemini.fault("file", "PROCESSING", match="stuck")
    gemini.fault("file", "expire", match="short", seconds=60)
    for name in ("bad", "stuck", "short", "good"):
        upload(client, name=name)
    gemini.advance(61)

    bad = client.files.get(name="files/bad")
    assert (bad.state, bad.error.message) == (types.FileState.FAILED, "The file could not be processed.")
    assert client.files.get(name="files/stuck").state == types.FileState.PROCESSING
    assert client.files.get(name="files/good").state == types.FileState.ACTIVE
    with pytest.raises(errors.ClientError):
        client.files.get(name="files/short")


@pytest.mark.parametrize(
    ("state", "seen", "done"),
    [
        ("SUCCEEDED", "JOB_STATE_SUCCEEDED", True),
        ("FAILED", "JOB_STATE_FAILED", True),
        ("EXPIRED", "JOB_STATE_EXPIRED", True),
        ("RUNNING", "JOB_STATE_RUNNING", False),
        ("PAUSED", "BATCH_STATE_PAUSED", False),  # the SDK does not know these names
        ("PARTIALLY_SUCCEEDED", "BATCH_STATE_PARTIALLY_SUCCEEDED", False),
        ("DREAMING", "BATCH_STATE_DREAMING", False),
    ],
)
def test_a_batch_ends_or_stays_in_any_state(gemini, client, state, seen, done):
    gemini.fault("batch", state, message="out of luck")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK warns of states that it does not know
        job = submit(client, {"r": request_for(upload(client))})
        job = client.batches.get(name=job.name)
        if state in ("RUNNING", "PAUSED", "DREAMING"):
            gemini.advance(47 * 3600)
            job = client.batches.get(name=job.name)

    assert (job.state.value, job.done) == (seen, done)
    assert (job.dest is not None) == state.endswith("SUCCEEDED")
    assert job.error is None  # lost by the SDK, even where there is one
    raw = httpx2.get(f"{gemini.base_url}/v1beta/{job.name}", headers={"x-goog-api-key": "stand-in-key"}).json()
    assert raw.get("error", {}).get("message") == ("out of luck" if state in ("FAILED", "EXPIRED") else None)


def test_a_batch_that_hangs_expires_after_two_days(gemini, client):
    gemini.fault("batch", "RUNNING")
    job = submit(client, {"r": request_for(upload(client))})
    gemini.advance(48 * 3600)

    assert client.batches.get(name=job.name).state == types.JobState.JOB_STATE_EXPIRED


def test_result_files_can_be_impossible_to_delete(gemini, client):
    gemini.settings(result_files_can_be_deleted=False)
    name = Here(client).results

    with pytest.raises(errors.ClientError, match="40 characters") as refused:
        client.files.delete(name=name)
    assert refused.value.code == 400


def test_every_damage_to_a_result_line_is_there(gemini, client):
    audio = upload(client)
    gemini.answers({sha256_of(AUDIO): "one two three four"})
    damages = ["error", "bad_json", "neither", "unknown_key", "missing_key", "twice", "missing"]
    damages += ["no_candidates", "blocked_prompt", "blocked_safety", "empty_text", "max_tokens"]
    for damage in damages:
        gemini.fault("line", damage, keys=[damage])
    job = submit(client, {key: request_for(audio) for key in ["good", *damages]})

    lines = client.files.download(file=client.batches.get(name=job.name).dest.file_name).decode().splitlines()

    assert len(lines) == len(damages) + 1
    bad = [line for line in lines if not is_json(line)]
    assert len(bad) == 1
    assert '"key": "bad_json"' in bad[0]
    parsed = [json.loads(line) for line in lines if is_json(line)]
    keys = [line.get("key") for line in parsed]
    assert keys.count("twice") == 2
    assert "missing" not in keys
    assert "unknown-unknown_key" in keys
    assert None in keys
    by_key = {line.get("key"): line for line in parsed}
    assert by_key["error"]["error"] == {"code": 14, "message": "The model is overloaded. Please try again later."}
    assert by_key["neither"] == {"key": "neither"}
    assert "candidates" not in by_key["no_candidates"]["response"]
    assert by_key["blocked_prompt"]["response"]["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert by_key["blocked_safety"]["response"]["candidates"][0]["finishReason"] == "SAFETY"
    assert by_key["empty_text"]["response"]["candidates"][0]["content"]["parts"] == [{"text": ""}]
    cut = by_key["max_tokens"]["response"]["candidates"][0]
    assert (cut["finishReason"], cut["content"]["parts"][0]["text"]) == ("MAX_TOKENS", "one two t")


def is_json(line):
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_a_result_file_is_shuffled_and_truncated(gemini, client):
    audio = upload(client)
    keys = [f"r{number}" for number in range(40)]
    gemini.fault("results", "shuffled", match="mixed")
    gemini.fault("results", "truncated", match="short")
    mixed = submit(client, {key: request_for(audio) for key in keys}, display_name="mixed")
    short = submit(client, {key: request_for(audio) for key in keys}, display_name="short")

    order = list(results(client, mixed))
    assert order != keys
    assert sorted(order) == sorted(keys)
    data = client.files.download(file=client.batches.get(name=short.name).dest.file_name)
    assert 0 < data.count(b"\n") < 40
    assert not data.endswith(b"\n")


@pytest.mark.parametrize("damage", ["no_candidates", "blocked_prompt", "blocked_safety"])
def test_a_direct_answer_without_text_has_none(gemini, client, damage):
    gemini.fault("answer", damage, keys=[sha256_of(AUDIO)])

    answer = client.models.generate_content(model=MODEL, contents=[upload(client)])

    assert answer.text is None
    if damage == "blocked_safety":
        assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY


def test_faults_strike_by_chance_after_a_while_and_as_often_as_told(gemini, client):
    file = upload(client)

    def failures(calls):
        failed = 0
        for _ in range(calls):
            try:
                client.files.get(name=file.name)
            except errors.ServerError:
                failed += 1
        return failed

    gemini.fault("file_get", "status", skip=2, times=3)
    assert (failures(2), failures(10)) == (0, 3)
    gemini.clear_faults()
    gemini.fault("*", "status", probability=0.2)
    assert 5 <= failures(100) <= 40
    assert gemini.state()["faults"]["file_get status"] >= 8


def test_a_fault_that_cannot_be_is_refused(gemini):
    with pytest.raises(ValueError, match="has no fault 'explode'"):
        gemini.fault("file_get", "explode")
    with pytest.raises(ValueError, match="no setting 'colour'"):
        gemini.settings(colour="blue")
