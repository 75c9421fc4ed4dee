"""The transport of uploads and deletes behaves as httpx2's own does, against servers that answer to the byte."""

import gzip
import io
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.adapters.base import ProviderConfig, ProviderError
from providers.adapters.gemini import GeminiAdapter
from providers.adapters.gemini.curl import CurlTransport
from providers.reasons import Reason
from tests.servers.gemini import API_KEY, GeminiServer, sha256_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


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


@pytest.fixture
def client():
    with httpx2.Client(transport=CurlTransport(), timeout=5) as client:
        yield client


def test_a_request_goes_out_as_it_was_made(client):
    body = bytes(range(256)) * 5000
    with server([OK]) as served:
        answer = client.post(served.url, content=body, headers={"X-Goog-Upload-Offset": "0"})
    assert (answer.status_code, answer.text) == (200, "ok")
    head, _, sent = served.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    assert b"x-goog-upload-offset: 0" in head.lower()
    assert b"user-agent: python-httpx" in head.lower()
    assert b"content-type" not in head.lower()
    assert b"expect" not in head.lower()


def test_a_connection_is_kept_for_the_next_request(client):
    with server([OK, OK, OK]) as served:
        for method in ("POST", "GET", "DELETE"):
            assert client.request(method, served.url).text == "ok"
    assert len(served.connections) == 1
    assert [request.split()[0] for request in served.requests] == [b"POST", b"GET", b"DELETE"]


def test_a_kept_connection_that_was_closed_is_replaced(client):
    with server([OK], [OK]) as served:
        assert [client.post(served.url).text for _ in range(2)] == ["ok", "ok"]
    assert len(served.connections) == 2


def test_threads_do_not_get_in_each_others_way(client):
    def send(number):
        return client.post(served.url, content=b"%d" % number).text

    with server(*[[OK] * 50] * 8) as served, ThreadPoolExecutor(8) as threads:
        assert set(threads.map(send, range(50))) == {"ok"}
        client.close()
    assert sorted(int(request.partition(b"\r\n\r\n")[2]) for request in served.requests if request) == list(range(50))


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_asked(client):
    with server([receive]) as served, pytest.raises(httpx2.ReadTimeout):
        client.post(served.url, timeout=1)


def test_an_answer_that_breaks_off_is_an_error(client):
    with server([OK[:-1]]) as served, pytest.raises(httpx2.ReadError):
        client.get(served.url)


def test_a_connection_that_is_dropped_is_an_error(client):
    with server([lambda stream: None]) as served, pytest.raises(httpx2.ReadError):
        client.post(served.url, content=b"audio")


def test_a_body_that_was_sent_is_not_sent_again(client):
    with server([OK, lambda stream: None], [OK]) as served:
        client.post(served.url, content=b"first")
        with pytest.raises(httpx2.ReadError):
            client.post(served.url, content=b"second")
    assert len(served.connections) == 1


def test_a_slow_line_is_no_reason_to_give_up(client):
    def slowly(stream):
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(10):
            time.sleep(0.3)
            stream.sendall(b"abc")

    with server([slowly]) as served:
        assert client.get(served.url, timeout=2).text == "abc" * 10


def test_a_header_cannot_bring_another_one(client):
    with server() as served, pytest.raises(httpx2.LocalProtocolError):
        CurlTransport().send("DELETE", served.url, [(b"x-goog-api-key", b"a\r\nX-Evil: 1")], seconds=5)


def test_where_nobody_listens_there_is_no_connection(client):
    with server() as served:
        pass
    with pytest.raises(httpx2.ConnectError):
        client.get(served.url)


def test_only_the_last_answers_headers_count(client):
    before = b"HTTP/1.1 103 Early Hints\r\nX-Goog-Upload-Status: active\r\n\r\n"
    final = OK.replace(b"\r\n\r\n", b"\r\nX-Goog-Upload-Status:  final \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n")
    with server([before + final]) as served:
        answer = client.get(served.url)
    assert answer.headers.get_list("x-goog-upload-status") == ["final"]
    assert answer.headers.get_list("set-cookie") == ["a", "b"]


def test_packed_answers_are_unpacked(client):
    packed = gzip.compress(b'{"file": {}}')
    with server(
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed]
    ) as s:
        assert client.get(s.url).json() == {"file": {}}


def test_an_answer_cannot_send_uploads_to_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("no")
    with pytest.raises(httpx2.RequestError, match="disabled"):
        CurlTransport().send("GET", secret.as_uri(), [], seconds=5)


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


def test_a_certificate_that_nobody_vouches_for_is_refused(client, certificate):
    with server([OK], tls=certificate[1]) as served, pytest.raises(httpx2.ConnectError, match="certificate"):
        client.get(served.url)
    assert not any(served.requests)  # the key stays here


def test_certificates_are_those_that_openssl_is_told_of(monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with httpx2.Client(transport=CurlTransport(), timeout=5) as client, server([OK], tls=certificate[1]) as served:
        assert client.get(served.url).text == "ok"


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
