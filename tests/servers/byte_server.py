"""A server that answers to the byte, and the calls that tests make to it."""

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress

from providers.adapters.background import background_loop
from providers.adapters.http import call

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
