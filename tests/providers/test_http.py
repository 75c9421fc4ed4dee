"""Calls to providers without an SDK, against servers that answer to the byte."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from providers.adapters import http
from providers.adapters.base import ProviderError
from providers.adapters.http import needs_proxy, read_answer, request
from providers.reasons import Reason
from tests.servers.byte_server import CHUNKED, OK, in_thread, receive, send, server


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
