"""HTTP by libcurl, for the many small calls of uploads and deletes: they need a third less CPU than by httpx2 itself.

Imported with the first of them, for libcurl takes 7 MB and most processes never make one.
"""

import ssl
from collections import deque
from collections.abc import Iterable
from io import BytesIO

import httpx2
import pycurl

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

    Only for calls that may be repeated: libcurl sends one again where a kept connection proves to be closed.
    """

    def __init__(self) -> None:
        self._idle: deque[pycurl.Curl] = deque()  # each with its connection, the one used last at the end
        self._certificates = ssl.get_default_verify_paths()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        seconds = request.extensions["timeout"]["read"]
        return self.send(request.method, str(request.url), request.headers.raw, request.read(), seconds=seconds)

    def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes = b"",
        *,
        seconds: float | None,
    ) -> httpx2.Response:
        """One call, which may last so many seconds in all. Raises httpx2.RequestError."""
        try:
            handle = self._idle.pop()
        except IndexError:
            handle = pycurl.Curl()
        answer, head = BytesIO(), _Head()
        self._set(handle, method, url, headers, body, seconds)
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

    def _set(
        self,
        handle: pycurl.Curl,
        method: str,
        url: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        seconds: float | None,
    ) -> None:
        handle.setopt(pycurl.NOSIGNAL, 1)  # signals are for the main thread
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)  # whatever address an answer names
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        if self._certificates.cafile:
            handle.setopt(pycurl.CAINFO, self._certificates.cafile)
        if self._certificates.capath:
            handle.setopt(pycurl.CAPATH, self._certificates.capath)
        if seconds is not None:
            handle.setopt(pycurl.TIMEOUT_MS, max(1, round(seconds * 1000)))
        handle.setopt(pycurl.URL, url)
        if body or method == "POST":
            handle.setopt(pycurl.POSTFIELDS, body)
        handle.setopt(pycurl.CUSTOMREQUEST, method)
        handle.setopt(pycurl.HTTPHEADER, UNSAID + [name + b": " + value for name, value in headers])

    def close(self) -> None:
        self._idle.clear()


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
