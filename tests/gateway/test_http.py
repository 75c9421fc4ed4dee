"""The gateway's own manners, over real sockets: who is let in, which bodies are read, and what errors look like."""

import hashlib
import random
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from accounts.models import Role
from accounts.services import create_api_key
from gateway.models import Budget
from tests.audio import make_wav
from tests.gateway.live import UPSTREAM_KEY
from tests.waiting import wait_for

SPEECH = make_wav(0.5)
BOUNDARY = "----frontier"


def form(audio=SPEECH, model="studio/transcribe", boundary=BOUNDARY):
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="upload"\r\n\r\n'
    ).encode() + audio + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip


@pytest.fixture(scope="module")
def http(live):
    with httpx.Client(base_url=live.api, headers={"Authorization": f"Bearer {live.key}"}, timeout=120) as client:
        yield client


def send(http, body, content_type=f"multipart/form-data; boundary={BOUNDARY}", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post("/audio/transcriptions", content=body, headers={"Content-Type": content_type, **headers})


def error_of(answer):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


class Raw:
    """A connection on which bytes are written as they are."""

    def __init__(self, live):
        self.socket = socket.create_connection(("127.0.0.1", int(live.address.rpartition(":")[2])), timeout=60)
        self.key = live.key

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.socket.close()

    def begin(self, *headers, key=None, path="/v1/audio/transcriptions"):
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key or self.key}", *headers]
        lines.append(f"Content-Type: multipart/form-data; boundary={BOUNDARY}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def answer(self):
        """The answer so far: its head, and what has come of its body."""
        return self.socket.recv(65536).decode()


# --- who is let in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {UPSTREAM_KEY}"])
def test_nobody_is_let_in_without_a_valid_key(live, header):
    headers = {} if header is None else {"Authorization": header}
    answer = httpx.post(f"{live.api}/audio/transcriptions", headers=headers, content=form())
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]


def test_a_wrong_key_is_refused_before_the_body_is_read(live):
    with Raw(live) as raw:
        raw.begin("Content-Length: 20000000", key="wrong")
        assert raw.answer().startswith("HTTP/1.1 401")


def test_who_asks_before_sending_is_not_told_to_go_on_with_a_wrong_key(live):
    with Raw(live) as raw:
        raw.begin("Content-Length: 100", "Expect: 100-continue", key="wrong")
        assert raw.answer().startswith("HTTP/1.1 401")
    with Raw(live) as raw:
        raw.begin("Content-Length: 100", "Expect: 100-continue")
        assert raw.answer().startswith("HTTP/1.1 100")


def test_a_key_that_has_made_its_calls_is_told_when_to_come_again(live, studio):
    headers = {"Authorization": f"Bearer {live.make_key('limited', requests_per_minute=2)}"}
    answers = [httpx.get(f"{live.api}/models", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert error_of(answers[-1])["code"] == "rate_limit_exceeded"


def test_a_spent_budget_is_a_402_and_nothing_is_called(live, studio):
    key, secret = create_api_key(workspace=live.workspace, name="poor")
    Budget.objects.create(workspace=live.workspace, api_key=key, monthly_usd=0)
    body, kind = form(), f"multipart/form-data; boundary={BOUNDARY}"
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": kind}
    answer = httpx.post(f"{live.api}/audio/transcriptions", content=body, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (402, "budget_exceeded")
    assert studio.calls == []


def test_a_role_that_may_start_nothing_may_call_nothing(live):
    _, secret = create_api_key(workspace=live.workspace, name="viewer", role=Role.VIEWER)
    answer = httpx.get(f"{live.api}/models", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, error_of(answer)["type"]) == (403, "permission_error")


# --- addresses and ids ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/audio", "/v1/audio/nonsense", "/v1/audio/speech/", "/v1/%0a"])
def test_an_unknown_address_is_a_404_in_the_same_envelope(live, path):
    answer = httpx.get(live.address + path, headers={"Authorization": f"Bearer {live.key}"})
    assert (answer.status_code, error_of(answer)["code"]) == (404, "unknown_url")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/audio/transcriptions"), ("POST", "/models"), ("PUT", "/models/x")]
)
def test_a_wrong_method_is_a_405_that_says_the_right_one(http, method, path):
    answer = http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] in error_of(answer)["message"]


def test_the_head_of_an_answer_can_be_asked_for_alone(http):
    answer = http.head("/models")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/json", b"")


def test_the_hash_on_record_is_that_of_the_body_however_large_and_however_many_come_at_once(http, live):
    def send_one(number):
        body = form(audio=make_wav(random.uniform(0.5, 30.0)))
        assert send(http, body, x_request_id=f"one-of-many:{number}").status_code == 200
        return body

    with ThreadPoolExecutor(12) as callers:
        bodies = list(callers.map(send_one, range(24)))

    for number, body in enumerate(bodies):
        assert live.only_record(request_id=f"one-of-many:{number}").body_sha256 == hashlib.sha256(body).hexdigest()


def test_the_callers_request_id_comes_back_and_is_on_record(http, live, studio):
    answer = send(http, form(), x_request_id="my-own.id:1")
    assert answer.headers["x-request-id"] == "my-own.id:1"
    record = live.only_record(request_id="my-own.id:1")
    assert record.body_sha256 == hashlib.sha256(form()).hexdigest()
    assert (record.endpoint, record.result, record.status) == ("transcription", "success", 200)
    assert (record.key_name, record.audio_seconds) == ("application", 0.5)
    assert 0 < record.first_byte <= record.latency


def test_a_request_id_that_is_used_again_is_told_apart(http, live, studio):
    assert send(http, form(), x_request_id="twice").headers["x-request-id"] == "twice"
    again = send(http, form(), x_request_id="twice")
    assert again.status_code == 200
    assert again.headers["x-request-id"].startswith("twice.")
    assert live.only_record(request_id=again.headers["x-request-id"]).result == "success"


@pytest.mark.parametrize("given", ["a b", "x" * 200, "<script>", "-", "ü"])
def test_an_odd_request_id_is_replaced(http, given):
    answer = http.get("/models", headers={"X-Request-Id": given.encode()})
    assert answer.headers["x-request-id"].startswith("req_")


# --- bodies -----------------------------------------------------------------------------------------


def test_a_body_in_chunks_of_unknown_length_is_read(http, live, studio):
    pieces = (form()[start : start + 999] for start in range(0, len(form()), 999))
    answer = send(http, pieces)
    assert "content-length" not in answer.request.headers
    assert answer.json()["text"]
    assert studio.calls[-1].file.sha256 == hashlib.sha256(SPEECH).hexdigest()


def test_a_body_that_comes_byte_by_byte_is_read(live, studio):
    body = form(make_wav(0.1))
    with Raw(live) as raw:
        raw.begin(f"Content-Length: {len(body)}")
        for start in range(0, len(body), 1):
            raw.socket.sendall(body[start : start + 1])
        assert raw.answer().startswith("HTTP/1.1 200")


def test_audio_that_holds_the_beginning_of_the_boundary_arrives_whole(http, live, studio):
    audio = SPEECH[:-400] + (f"\r\n--{BOUNDARY[:-1]}\r\n--".encode() * 40)[:400]
    assert send(http, form(audio)).status_code == 200
    assert studio.calls[-1].file.sha256 == hashlib.sha256(audio).hexdigest()


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (form(boundary="another"), f"multipart/form-data; boundary={BOUNDARY}", "boundary is wrong"),
        (form(), "multipart/form-data", "no boundary"),
        (form(), "multipart/form-data; boundary=", "no boundary"),
        (form(), f"multipart/form-data; boundary={'x' * 300}", "too long"),
        (form()[:-10], f"multipart/form-data; boundary={BOUNDARY}", "cut off"),
        (b"", f"multipart/form-data; boundary={BOUNDARY}", "cut off"),
        (b"\x00\xff" * 500, f"multipart/form-data; boundary={BOUNDARY}", "boundary is wrong"),
        (form().replace(b'name="model"', b'nom="model"'), f"multipart/form-data; boundary={BOUNDARY}", "no name"),
        (form(model="\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), "application/json", "multipart"),
        (b'{"model": "studio/whisper"}', "application/json", "multipart/form-data"),
        (b"model=studio/whisper", "application/x-www-form-urlencoded", "multipart/form-data"),
    ],
)
def test_a_body_that_is_no_form_is_a_400_that_says_so(http, studio, body, content_type, said):
    answer = send(http, body, content_type)
    assert answer.status_code == 400
    assert said in error_of(answer)["message"]
    assert studio.calls == []


def test_text_that_is_no_utf_8_is_a_400(http):
    answer = send(http, form().replace(b"studio/transcribe", b"\xff\xfe"))
    assert (answer.status_code, error_of(answer)["param"]) == (400, "model")


def test_two_files_are_a_400(http):
    part = form()[: -len(f"--{BOUNDARY}--\r\n")]
    answer = send(http, part + form())
    assert (answer.status_code, error_of(answer)["param"]) == (400, "file")


def test_a_file_of_25_mb_is_taken_whatever_comes_with_it_and_a_larger_one_is_not(http, live, studio):
    """The limit is on the file, not on the body."""
    most = 25 * 1024 * 1024
    prompt = b'\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + b"a word " * 20_000
    begin = f"--{BOUNDARY}".encode() + prompt + b"\r\n"
    audio = SPEECH + bytes(most - len(SPEECH))
    assert send(http, begin + form(audio)).status_code == 200
    assert studio.calls[-1].file.size == most
    answer = send(http, form(audio + b"\0"))
    assert (answer.status_code, error_of(answer)["param"]) == (413, "file")
    assert "25 MB" in error_of(answer)["message"]


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(live):
    with Raw(live) as raw:
        raw.begin(f"Content-Length: {10**10}")
        assert raw.answer().startswith("HTTP/1.1 413")


def test_fields_that_are_far_too_long_are_a_413(http):
    prompt = b'\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + b"a word " * 50_000
    assert send(http, f"--{BOUNDARY}".encode() + prompt + b"\r\n" + form()).status_code == 413


# --- who leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_leaves_stops_the_provider(live, studio, stream):
    studio.fault("transcriptions", "hang")
    model = "studio/transcribe"
    body = form(model=model)
    if stream:
        field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
        body = field.encode() + body
    before = studio.left
    with Raw(live) as raw:
        raw.begin(f"Content-Length: {len(body)}", f"X-Request-Id: leaves-{stream}")
        raw.socket.sendall(body)
        wait_for(lambda: len(studio.calls) == 1)
    wait_for(lambda: studio.left == before + 1)
    record = live.only_record(request_id=f"leaves-{stream}")
    assert (record.result, record.status, record.served_by, record.audio_seconds) == ("disconnected", 499, model, 0.5)


def test_a_caller_who_leaves_before_the_body_is_whole_is_not_on_record(live, http, studio):
    with Raw(live) as raw:
        raw.begin("Content-Length: 100000", "X-Request-Id: leaves-early")
        raw.socket.sendall(form()[:5000])
    assert send(http, form(), x_request_id="comes-after").status_code == 200
    live.only_record(request_id="comes-after")  # by then, the server has seen the one before leave
    assert live.records(0, request_id="leaves-early") == []
    assert len(studio.calls) == 1


# --- whose fault it is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ({"what": "status", "status": 400, "message": "The prompt is silly."}, 400, "invalid_request_error"),
        ({"what": "status", "status": 413}, 400, "invalid_request_error"),
        ({"what": "status", "status": 415}, 400, "invalid_request_error"),
        ({"what": "status", "status": 422}, 400, "invalid_request_error"),
        ({"what": "status", "status": 401}, 503, "server_error"),
        ({"what": "status", "status": 403}, 503, "server_error"),
        ({"what": "status", "status": 404}, 502, "server_error"),
        ({"what": "status", "status": 408}, 502, "server_error"),
        ({"what": "status", "status": 429, "retry_after": 7}, 429, "rate_limit_error"),
        ({"what": "status", "status": 500}, 502, "server_error"),
        ({"what": "status", "status": 503}, 502, "server_error"),
        ({"what": "status", "status": 504}, 504, "server_error"),
        ({"what": "drop"}, 502, "server_error"),
        ({"what": "garbage"}, 502, "server_error"),
        ({"what": "empty"}, 502, "server_error"),
        ({"what": "error_body"}, 502, "server_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_status_says_whose_fault_it_is(http, live, studio, fault, status, kind, stream):
    studio.fault("transcriptions", **fault)
    body = form()
    if stream:
        body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'.encode() + body
    request_id = f"fault-{fault['what']}-{fault.get('status')}-{stream}"
    answer = send(http, body, x_request_id=request_id)
    assert (answer.status_code, error_of(answer)["type"]) == (status, kind)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    if fault.get("message"):
        assert "The prompt is silly." in error_of(answer)["message"]
    record = live.only_record(request_id=request_id)
    assert (record.result, record.status, record.served_by, record.cost_usd) == ("failed", status, "", 0)


def test_an_answer_that_is_cut_off_is_a_502(http, studio):
    studio.fault("transcriptions", "cut")
    assert send(http, form()).status_code == 502
