"""Bodies that nobody asked for: refused while they come, before any of it stays on a disk."""

import asyncio
import json
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role
from accounts.services import create_api_key
from config.asgi import application
from core import request_body
from datasets.models import Dataset, Sample
from tests.audio import make_wav
from tests.evaluations.site import served_site
from tests.waiting import wait_for

MB = 1024 * 1024
BOUNDARY = "in-between"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
PIECE = bytes(64 * 1024)

pytestmark = pytest.mark.django_db(transaction=True)


class Exchange:
    """One request to the ASGI application, and what came of it."""

    def __init__(self, path, pieces, method="POST", *, breaks_off=False, **headers):
        """`breaks_off`: nothing comes after `pieces`, not even the end of the body."""
        self.taken = 0  # bytes of the body that the application asked for
        self.messages = []
        self._left = pieces or [b""]
        self._breaks_off = breaks_off
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [
                (name.replace("_", "-").encode(), value.encode())
                for name, value in {"host": "localhost", **headers}.items()
            ],
        }

    async def receive(self):
        if not self._left:
            await asyncio.Event().wait()
        piece, *self._left = self._left
        self.taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": bool(self._left) or self._breaks_off}

    async def send(self, message):
        self.messages.append(message)

    @property
    def status(self):
        return self.messages[0]["status"]

    @property
    def headers(self):
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages[1:]).decode()


def ask(path, pieces, **more):
    exchange = Exchange(path, pieces, **more)
    asyncio.run(application(exchange.scope, exchange.receive, exchange.send))
    return exchange


def pieces_of(size):
    return [PIECE] * (size // len(PIECE))


def form_with(audio):
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'.encode()
    body = head + audio + f"\r\n--{BOUNDARY}--\r\n".encode()
    return [body[start : start + len(PIECE)] for start in range(0, len(body), len(PIECE))]


def announced(size):
    return {"content-length": str(size)}


def held_files(folder, process="self"):
    """Files in `folder` that a process has open, those without a name among them."""
    links = []
    for each in Path(f"/proc/{process}/fd").iterdir():
        try:
            links.append(str(each.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return [link for link in links if link.startswith(str(folder))]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where this process puts temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def short_linger(monkeypatch):
    monkeypatch.setattr(request_body, "LINGER_SECONDS", 0.05)


@pytest.fixture
def dataset(workspace):
    return Dataset.objects.create(workspace=workspace, name="Calls")


@pytest.fixture
def samples(dataset):
    return reverse("dataset-samples", args=[dataset.pk])


@pytest.fixture
def key_of(workspace):
    """key_of(role) -> the headers of a key with that role."""

    def make(role, workspace=workspace):
        _, secret = create_api_key(workspace=workspace, name="test", role=role)
        return {"authorization": f"Bearer {secret}"}

    return make


def cookie_of(user):
    client = Client()
    client.force_login(user)
    return {"cookie": f"sessionid={client.cookies['sessionid'].value}"}


UPLOAD = "/api/v1/datasets/1/samples/"
ANYWHERE = ["/healthz", "/readyz", "/static/x.css", UPLOAD, "/api/v1/runs/", "/admin/login/", "/"]


@pytest.mark.parametrize("path", ANYWHERE)
def test_a_large_body_that_is_announced_is_refused_before_it_is_read(path):
    answer = ask(path, pieces_of(300 * MB), **announced(300 * MB), **FORM)
    assert answer.status == (401 if path == UPLOAD else 413)
    assert answer.taken <= request_body.LINGER_BYTES + len(PIECE)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", ANYWHERE)
def test_a_large_body_in_chunks_is_refused_once_it_is_too_large_and_is_gone_from_the_disk(path, folder):
    answer = ask(path, pieces_of(300 * MB), transfer_encoding="chunked", **FORM)
    assert answer.status == (401 if path == UPLOAD else 413)
    assert answer.taken <= 2.5 * MB + request_body.LINGER_BYTES + 2 * len(PIECE)
    assert held_files(folder) == list(folder.iterdir()) == []


def test_a_body_that_is_longer_than_it_was_announced_is_refused():
    answer = ask("/admin/login/", pieces_of(300 * MB), **announced(1000))
    assert answer.status == 413
    assert answer.taken <= 4 * MB


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_takes_no_body_beyond_a_few_kilobytes(method):
    assert ask("/healthz", [b"a" * 1000], method=method).status == 200
    assert ask("/healthz", [b"a" * 5000], method=method).status == 413
    assert ask("/admin/login/", [b"a" * 5000], method=method, **announced(5000)).status == 413


def test_the_api_refuses_in_problem_details_and_other_addresses_with_a_page():
    answer = ask("/api/v1/runs/", [], **announced(3 * MB))
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.text)
    assert (told["status"], told["detail"]) == (
        413, "The request's body is larger than 2.5 MB, which is all that this address takes.",
    )  # fmt: skip
    page = ask("/admin/login/", [], **announced(3 * MB))
    assert page.headers["content-type"].startswith("text/html")
    assert "larger than 2.5 MB" in page.text


def test_an_evaluator_may_upload_5_mb(samples, key_of):
    pieces = form_with(make_wav(160.0, 16000))
    size = sum(map(len, pieces))
    assert size > 5 * 1000 * 1000
    for headers in (announced(size), {"transfer_encoding": "chunked"}):
        answer = ask(samples, pieces, **headers, **key_of(Role.EVALUATOR), **FORM)
        assert answer.status == 201, answer.text
    assert Sample.objects.count() == 2


def test_a_signed_in_evaluator_may_upload_by_page_and_by_api(samples, dataset, workspace, make_member):
    signed_in = cookie_of(make_member(Role.EVALUATOR))
    address = reverse("admin:datasets_dataset_import_file", args=[dataset.pk])
    for path in (samples, address):
        answer = ask(path, pieces_of(5 * MB), **announced(5 * MB), **signed_in, **FORM)
        assert answer.taken == 5 * MB  # Django has read it all, and misses the token against forgery
        assert answer.status == 403
        assert "CSRF" in answer.text


@pytest.mark.parametrize("who", ["viewer's key", "revoked key", "no key", "viewer", "key of another tenant"])
def test_nobody_else_may_send_more_than_any_address_takes(
    who, samples, key_of, make_member, other_workspace, workspace, folder
):
    revoked = {"authorization": "Bearer ek_of_nobody"}
    headers, status = {
        "viewer's key": lambda: (key_of(Role.VIEWER), 403),
        "revoked key": lambda: (revoked, 401),
        "no key": lambda: ({}, 401),
        "viewer": lambda: (cookie_of(make_member(Role.VIEWER)), 403),
        "key of another tenant": lambda: (key_of(Role.OWNER, other_workspace), 404),
    }[who]()
    at_once = ask(samples, pieces_of(100 * MB), **announced(100 * MB), **headers, **FORM)
    assert (at_once.status, at_once.taken <= 1.1 * MB) == (status, True)
    assert json.loads(at_once.text)["status"] == status
    in_chunks = ask(samples, pieces_of(100 * MB), transfer_encoding="chunked", **headers, **FORM)
    assert (in_chunks.status, in_chunks.taken <= 4 * MB) == (status, True)
    assert held_files(folder) == []


def test_a_key_is_good_for_no_page(dataset, key_of):
    address = reverse("admin:datasets_dataset_import_file", args=[dataset.pk])
    answer = ask(address, pieces_of(5 * MB), **announced(5 * MB), **key_of(Role.OWNER), **FORM)
    assert answer.status == 401


def test_an_upload_is_no_larger_than_audio_may_be(samples, key_of, settings):
    settings.MAX_AUDIO_MB = 4
    answer = ask(samples, pieces_of(300 * MB), transfer_encoding="chunked", **key_of(Role.OWNER), **FORM)
    assert answer.status == 413
    assert "larger than the 4 MB" in answer.text
    assert answer.taken < 7 * MB


def test_json_is_no_larger_at_an_address_that_takes_files(samples, key_of):
    json_body = {"content-type": "application/json"}
    answer = ask(samples, pieces_of(5 * MB), **announced(5 * MB), **key_of(Role.OWNER), **json_body)
    assert answer.status == 413


@pytest.mark.parametrize("path", ["/healthz", UPLOAD, "/admin/login/"])
def test_a_body_of_which_nothing_comes_is_given_up(path, monkeypatch, folder):
    monkeypatch.setattr(request_body, "PATIENCE", 0.1)
    answer = ask(path, [b"a"], breaks_off=True)
    assert answer.status == 408
    assert answer.headers["connection"] == "close"
    assert held_files(folder) == []


def test_a_body_that_comes_byte_by_byte_is_given_up(monkeypatch):
    monkeypatch.setattr(request_body, "PATIENCE", 0.3)
    exchange = Exchange("/admin/login/", [b"a"] * 10_000)
    given = exchange.receive

    async def slowly():
        await asyncio.sleep(0.01)
        return await given()

    asyncio.run(application(exchange.scope, slowly, exchange.send))
    assert exchange.status == 408
    assert exchange.taken < 1000


# --- on a site as it is served --------------------------------------------------------------------------


def send_until_answered(address, path, size):
    """The answer's first line, and how many bytes of a body of `size` were sent by then."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            while sent < size:
                connection.sendall(b"%x\r\n%s\r\n" % (MB, bytes(MB)))
                sent += MB
        except OSError:  # closed by the server
            pass
        return connection.recv(4096).split(b"\r\n")[0].decode(), sent


def test_a_served_site_refuses_300_mb_of_anybody_within_the_first_and_takes_5_of_an_evaluator(
    tmp_path, workspace, samples, key_of
):
    spool = tmp_path / "spool"
    spool.mkdir()
    with served_site(tmp_path, TMPDIR=str(spool)) as site:
        for path in ("/healthz", samples, "/admin/login/"):
            line, sent = send_until_answered(site.address, path, 300 * MB)
            assert line.startswith("HTTP/1.1 413"), path
            assert sent < 30 * MB  # the kernel's buffers hold some
        wait_for(
            lambda: held_files(spool, site.process.pid) == [path for path in spool.rglob("*") if path.is_file()] == []
        )
        file = {"audio": ("a.wav", make_wav(160.0, 16000))}
        with httpx.Client(timeout=120) as http:
            taken = http.post(site.address + samples, files=file, headers=key_of(Role.EVALUATOR))
            assert taken.status_code == 201, taken.text
            refused = http.post(site.address + samples, files=file, headers=key_of(Role.VIEWER))
            assert refused.status_code == 403
