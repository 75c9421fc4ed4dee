"""Calls to providers without an SDK, against servers that answer to the byte."""

import asyncio
import gzip
import io
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.adapters import http
from providers.adapters.background import background_loop
from providers.adapters.base import ProviderConfig, ProviderError
from providers.adapters.gemini import GeminiAdapter
from providers.adapters.http import call, needs_proxy, read_answer, request
from providers.adapters.openai import OpenAIAdapter, OpenAICompatibleAdapter
from providers.reasons import Reason
from tests.servers.gemini import API_KEY, GeminiServer, sha256_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Served:
    """What came in, connection by connection."""

    def __init__(self, url):
        self.url = url
        self.connections = []

    @property
    def requests(self):
        return [request for connection in self.connections for request in connection]


@contextmanager
def server(*answers, tls=None):
    """Gives the connections one after the other their answers, bytes or what sends some; after its last, hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    served = Served(f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/files")
    threads = []

    def serve():
        for each in answers:
            with suppress(OSError):
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=answer, args=(connection, each)))
                threads[-1].start()

    def answer(connection, each):
        requests = []
        served.connections.append(requests)
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
            for one in each:
                requests.append(receive(stream))
                one(stream) if callable(one) else stream.sendall(one)

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield served
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [accepting, *threads]:
            thread.join()


def receive(stream):
    """One request, with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(1 << 16)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < size:
        body += stream.recv(1 << 16)
    return head + b"\r\n\r\n" + body


KEY = {"x-goog-api-key": "key"}


def send(method, url, headers=KEY, body=b"", *, public_only=False, step_seconds=30):
    """From a thread, as uploads are made."""
    return in_thread(call(method, url, headers, body, public_only=public_only, step_seconds=step_seconds))


def in_thread(work):
    return asyncio.run_coroutine_threadsafe(work, background_loop()).result()


def test_a_request_goes_out_as_it_was_made():
    body = bytes(range(256)) * 5000
    with server([OK]) as served:
        answer = send("POST", served.url, {"X-Goog-Upload-Offset": "0"}, body)
    assert (answer.status, answer.body) == (200, b"ok")
    head, _, sent = served.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert names == {b"host", b"user-agent", b"content-length", b"x-goog-upload-offset"}


def test_a_connection_is_kept_for_the_next_request():
    with server([OK, OK, OK]) as served:
        for method in ("POST", "GET", "DELETE"):
            assert send(method, served.url).body == b"ok"
    assert len(served.connections) == 1
    assert [request.split()[0] for request in served.requests] == [b"POST", b"GET", b"DELETE"]


def test_a_kept_connection_that_was_closed_is_replaced():
    closed = OK.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
    with server([closed], [OK]) as served:
        assert [send("POST", served.url).body for _ in range(2)] == [b"ok", b"ok"]
    assert len(served.connections) == 2


def test_threads_do_not_get_in_each_others_way():
    with server(*[[OK] * 50] * 8) as served, ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda number: send("POST", served.url, body=b"%d" % number).body, range(50))
        assert set(answers) == {b"ok"}
    assert sorted(int(request.partition(b"\r\n\r\n")[2]) for request in served.requests if request) == list(range(50))


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_asked():
    with server([receive]) as served, pytest.raises(ProviderError) as caught:
        send("POST", served.url, step_seconds=1)
    assert (caught.value.reason, caught.value.retryable) == (Reason.TIMEOUT, True)


def test_a_server_that_takes_no_more_of_a_body_is_not_waited_for_longer_than_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ProviderError) as caught:
        send("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/", body=bytes(1 << 25), step_seconds=1)
    assert caught.value.reason == Reason.TIMEOUT


@pytest.mark.parametrize(
    "answer", [OK[:-1], b"", OK[:20], b"nonsense\r\n\r\n", CHUNKED + b"5\r\nab", CHUNKED + b"zz\r\n"]
)
def test_an_answer_that_breaks_off_or_is_none_is_an_error(answer):
    with server([answer]) as served, pytest.raises(ProviderError, match="connection to the provider failed") as caught:
        send("POST", served.url)
    assert (caught.value.reason, caught.value.retryable) == (Reason.PROVIDER_ERROR, True)


def test_a_body_that_was_sent_is_not_sent_again():
    with server([OK, lambda stream: None], [OK]) as served:
        send("POST", served.url, body=b"first")
        with pytest.raises(ProviderError, match="connection to the provider failed"):
            send("POST", served.url, body=b"second")
    assert len(served.connections) == 1


def test_a_delete_whose_kept_connection_was_closed_is_sent_once_more():
    with server([OK, lambda stream: None], [OK]) as served:
        assert [send("DELETE", served.url).status for _ in range(2)] == [200, 200]
    assert len(served.connections) == 2


def test_a_slow_line_is_no_reason_to_give_up():
    def slowly(stream):
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n")
        for _ in range(5):
            time.sleep(0.5)
            stream.sendall(b"abc")

    with server([slowly]) as served:
        assert send("GET", served.url, step_seconds=2).body == b"abc" * 5


def test_an_endless_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(http, "LONGEST_ANSWER", 1 << 20)

    def endlessly(stream):
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                stream.sendall(bytes(1 << 16))

    with server([endlessly]) as served, pytest.raises(ProviderError, match="endless"):
        send("GET", served.url)


def test_who_refuses_a_request_before_it_is_whole_is_understood():
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
    refused = threading.Event()

    def refuse(connection):
        connection.recv(1 << 16)
        connection.sendall(refusal)
        refused.wait()  # the rest is never read, and the connection stays open
        connection.close()

    async def endless_body():
        while True:
            yield bytes(1 << 16)

    async def ask(url):
        headers = {"Content-Length": str(1 << 40)}
        async with request("POST", url, headers, endless_body(), public_only=False) as response:
            return await read_answer(response)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: refuse(listener.accept()[0]))
    thread.start()
    try:
        answer = in_thread(ask(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
    finally:
        refused.set()
        thread.join()
        listener.close()
    assert (answer.status, answer.body) == (413, b"no")


def test_neither_redirects_nor_cookies_are_followed():
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with server([moved, OK]) as served:
        assert send("GET", served.url).status == 302
        send("GET", served.url)
    assert len(served.requests) == 2
    assert b"cookie" not in served.requests[1].lower()


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
def test_a_header_cannot_bring_another_one(key):
    with server() as served, pytest.raises(ProviderError, match="no request can carry") as caught:
        send("DELETE", served.url, {"x-goog-api-key": key})
    assert key not in str(caught.value)


def test_where_nobody_listens_there_is_no_connection():
    with server() as served:
        pass
    with pytest.raises(ProviderError, match="connection to the provider failed") as caught:
        send("GET", served.url)
    assert (caught.value.reason, caught.value.retryable) == (Reason.PROVIDER_ERROR, True)


def test_only_the_last_answers_headers_count():
    before = b"HTTP/1.1 103 Early Hints\r\nX-Goog-Upload-Status: active\r\n\r\n"
    final = OK.replace(b"\r\n\r\n", b"\r\nX-Goog-Upload-Status:  final \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n")
    with server([before + final]) as served:
        answer = send("GET", served.url)
    assert answer.headers.getall("x-goog-upload-status") == ["final"]
    assert answer.headers.getall("set-cookie") == ["a", "b"]


def test_an_answer_cannot_send_uploads_to_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("no")
    with pytest.raises(ProviderError):
        send("GET", secret.as_uri())


def test_calls_that_the_environment_sends_through_a_proxy_are_known(monkeypatch):
    needs_proxy.cache_clear()
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "here.example")
    assert needs_proxy("https://there.example/v1")
    assert not needs_proxy("https://here.example/v1")
    needs_proxy.cache_clear()


# --- addresses that somebody has entered ----------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "2130706433"])
def test_what_somebody_has_entered_leads_nowhere_but_to_the_public_network(host, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(ProviderError) as caught:
        send("GET", f"http://{host}:9/", public_only=True)
    assert (caught.value.reason, caught.value.retryable) == (Reason.REQUEST_REFUSED, False)


def test_a_name_that_leads_into_the_sites_own_network_by_now_is_refused_with_the_reason(settings):
    with server([OK]) as served:
        url = served.url.replace("127.0.0.1", "localhost")
        settings.ALLOW_PRIVATE_ADDRESSES = False
        why = r"^localhost is not called\. Its address is not on the public network\. ALLOW_PRIVATE_ADDRESSES=1"
        with pytest.raises(ProviderError, match=why):
            send("GET", url, public_only=True)
        assert served.requests == []
        settings.ALLOW_PRIVATE_ADDRESSES = True
        assert send("GET", url, public_only=True).body == b"ok"


def test_an_address_of_the_environment_may_be_private(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with server([OK]) as served:
        assert send("GET", served.url).body == b"ok"


def test_only_addresses_of_the_environment_are_called_wherever_they_lead(settings):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "key", "http://127.0.0.1:9/v1"
    assert not OpenAIAdapter(ProviderConfig(kind="openai", name="o")).endpoint().public_only
    entered = ProviderConfig(kind="openai", name="o", base_url="http://127.0.0.1:9/v1", credential="key")
    assert OpenAIAdapter(entered).endpoint().public_only
    assert OpenAICompatibleAdapter(entered).endpoint().public_only


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


def test_a_connection_that_one_provider_may_use_is_none_for_another(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with server([OK, OK], [OK]) as served:
        send("GET", served.url)
        with pytest.raises(ProviderError, match="is not called"):
            send("GET", served.url, public_only=True)
    assert [request for request in served.requests[1:] if request] == []


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of 127.0.0.1, signed by itself: the file, and a server's TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    file, private = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(signed.public_bytes(pem))
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file, private)
    return file, tls


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    with server([OK], tls=certificate[1]) as served, pytest.raises(ProviderError, match="Certificate"):
        send("GET", served.url)
    assert not any(served.requests)  # the key stays here


def test_certificates_are_those_that_openssl_is_told_of(monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    http.certificates.cache_clear()
    try:
        with server([OK], tls=certificate[1]) as served:
            answer = asyncio.run(call("GET", served.url, KEY, b"", public_only=False, step_seconds=30))
    finally:
        http.certificates.cache_clear()
    assert answer.body == b"ok"


# --- uploads to Gemini ----------------------------------------------------------------------------


def adapter_at(url, key):
    return GeminiAdapter(ProviderConfig(kind="gemini", name="g", base_url=url, credential=key))


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
