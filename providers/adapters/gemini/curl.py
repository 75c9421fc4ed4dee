"""HTTP by libcurl, for the many small calls of uploads and deletes: they need a third less CPU than by httpx2 itself.

Imported with the first of them, for libcurl takes 7 MB and most processes never make one.
"""

import os
import ssl
from collections import deque
from io import BytesIO
from pathlib import Path

import httpx2
import pycurl

Headers = list[tuple[bytes, bytes]]

NOT_CONNECTED = {
    pycurl.E_COULDNT_RESOLVE_PROXY,
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_CONNECT,
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_PEER_FAILED_VERIFICATION,
}

# What libcurl would say by itself. An empty header is not sent; one of the same name after it is.
UNSAID = [b"Accept:", b"Content-Type:", b"Expect:", b"User-Agent:"]


class CurlTransport(httpx2.BaseTransport):
    """A transport for clients of httpx2. Thread-safe; keeps its connections; holds requests and answers whole.

    A kept connection that proves to be closed is replaced, and the call sent again unless its body was sent already.
    Proxies are those of the environment, as libcurl reads it.
    """

    def __init__(self) -> None:
        self._idle: deque[pycurl.Curl] = deque()  # each with its connection, the one used last at the end
        self._trusted = _trusted()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        seconds = request.extensions["timeout"]["read"]
        return self.send(request.method, str(request.url), request.headers.raw, request.read(), seconds=seconds)

    def send(
        self, method: str, url: str, headers: Headers, body: bytes = b"", *, seconds: float | None
    ) -> httpx2.Response:
        """One call. It fails where it takes so many seconds to connect, or where nothing moves for as long.

        Raises httpx2.RequestError.
        """
        try:
            handle = self._idle.pop()
        except IndexError:
            handle = pycurl.Curl()
        answer, head = BytesIO(), _Head()
        _ask(handle, method, url, headers, body)
        _bound(handle, seconds)
        for option, path in self._trusted:
            if path:
                handle.setopt(option, path)
            else:
                handle.unsetopt(option)
        handle.setopt(pycurl.HEADERFUNCTION, head.line)
        handle.setopt(pycurl.WRITEFUNCTION, answer.write)
        try:
            handle.perform()
        except pycurl.error as error:  # the handle goes with its connection
            raise _request_error(error) from error
        status = handle.getinfo(pycurl.RESPONSE_CODE)
        handle.reset()  # lets go of the body and keeps the connection
        self._idle.append(handle)
        return httpx2.Response(status, headers=head.headers, content=answer.getvalue())

    def close(self) -> None:
        self._idle.clear()


def _ask(handle: pycurl.Curl, method: str, url: str, headers: Headers, body: bytes) -> None:
    if any(byte in value for _, value in headers for byte in b"\r\n\0"):
        raise httpx2.LocalProtocolError("a header with a line break")
    handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)  # whatever address an answer names
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    handle.setopt(pycurl.URL, url)
    if body or method == "POST":
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.POSTFIELDSIZE, len(body))
        handle.setopt(pycurl.READFUNCTION, BytesIO(body).read)  # once: a piece that has arrived is not taken again
    handle.setopt(pycurl.CUSTOMREQUEST, method)
    handle.setopt(pycurl.HTTPHEADER, UNSAID + [name + b": " + value for name, value in headers])


def _bound(handle: pycurl.Curl, seconds: float | None) -> None:
    handle.setopt(pycurl.NOSIGNAL, 1)  # signals are for the main thread
    if seconds is not None:
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(seconds * 1000)))
        handle.setopt(pycurl.LOW_SPEED_LIMIT, 1)  # bytes a second
        handle.setopt(pycurl.LOW_SPEED_TIME, max(1, round(seconds)))


def _trusted() -> list[tuple[int, str | None]]:
    """The certificates that httpx2 trusts: of one file or one folder, the other option being none.

    OpenSSL's own are read from the folder, where it has one by hashes: each connection would hold 0.8 MB of the file.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        paths = ssl.get_default_verify_paths()
        has_hashes = paths.capath and any(Path(paths.capath).glob("*.[0-9]"))
        file, folder = (None, paths.capath) if has_hashes else (paths.cafile, None)
    if not file and not folder:
        return []
    return [(pycurl.CAINFO, file), (pycurl.CAPATH, None if file else folder)]


class _Head:
    """The headers of an answer, without those of what may come before it (100 Continue, a proxy's answer)."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def line(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if line.startswith(b"HTTP/"):
            self.headers = []
        elif colon:
            self.headers.append((name, value.strip()))


def _request_error(error: pycurl.error) -> httpx2.RequestError:
    code, message = error.args
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return httpx2.ReadTimeout(message)
    return httpx2.ConnectError(message) if code in NOT_CONNECTED else httpx2.ReadError(message)
