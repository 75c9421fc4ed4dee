"""The SDK's client as we use it, and its failures as ours."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import httpx2

from providers.adapters.background import background_loop
from providers.adapters.base import ProviderError
from providers.adapters.gemini.sdk import genai
from providers.adapters.http import call, needs_proxy
from providers.adapters.public_transport import async_transport_for, transport_for
from providers.addresses import refused_address
from providers.reasons import Reason

if TYPE_CHECKING:
    from google.genai import errors, types

BASE_URL = "https://generativelanguage.googleapis.com"
API_VERSION = "v1beta"  # files and batches are documented under it
CLOSE_SECONDS = 5.0
PIECE = 1 << 20  # bytes of a file read and sent at once; a multiple of the 256 KiB that the protocol asks for

_opened: ContextVar[list[httpx2.Response]] = ContextVar("_opened")  # by the call that is under way


def is_gone(error: ProviderError) -> bool:
    """Whether the error means that the resource does not exist: 404, or 403 unless the key is at fault, which Gemini
    answers for missing files and those of other projects."""
    return error.status == 404 or (error.status == 403 and error.reason != Reason.INVALID_CREDENTIALS)


class ClosingClient(httpx2.AsyncClient):
    """Hands out its answers beside the SDK, which leaves that of a stream that is given up to the garbage collector."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, **options)
        _opened.get([]).append(response)
        return response


class GeminiClient:
    """The SDK's client and, for values that it drops from responses, direct HTTP calls to the same API.

    Thread-safe. Retries are off everywhere: whether a call may be repeated is ours to decide. `public_only`:
    refuse addresses outside the public network when connecting.
    """

    def __init__(self, *, api_key: str, base_url: str, connections: int, timeout: float, public_only: bool) -> None:
        if not api_key:
            raise ProviderError(
                Reason.INVALID_CREDENTIALS, "No API key: enter one for the provider, or set GEMINI_API_KEY."
            )
        self.base_url = base_url.rstrip("/") or BASE_URL
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._headers = {"x-goog-api-key": api_key}
        self._timeout = timeout
        self._public_only = public_only
        self.http = httpx2.Client(
            limits=limits,
            timeout=timeout,
            transport=transport_for(self.base_url, limits, public_only=public_only),
        )
        self._streamed = False
        # As many streams as are allowed elsewhere: one lasts as long as somebody listens.
        streams = httpx2.Limits(max_keepalive_connections=connections)
        self._streams = ClosingClient(
            limits=streams,
            timeout=timeout,
            transport=async_transport_for(self.base_url, streams, public_only=public_only),
        )
        self.sdk = genai().Client(
            vertexai=False,  # whatever the environment says
            api_key=api_key,
            http_options=genai().types.HttpOptions(
                base_url=self.base_url,
                api_version=API_VERSION,
                timeout=int(timeout * 1000),  # milliseconds, of each step of a call
                httpx_client=self.http,
                httpx_async_client=self._streams,
                retry_options=genai().types.HttpRetryOptions(attempts=1),
            ),
        )

    def upload(self, name: str, stream: BinaryIO, size: int, mime_type: str) -> dict[str, Any]:
        """Put what `stream` holds into a file; returns the resource. With its deletion it costs 1.0 ms of CPU, by
        the SDK 1.7 (32 KB, medians of five).

        Raises OSError where the stream cannot be read to its size.
        """
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(size),
            "X-Goog-Upload-Header-Content-Type": mime_type,
        }
        resource = {"name": f"files/{name}", "mimeType": mime_type, "sizeBytes": str(size)}
        path = f"/upload/{API_VERSION}/files"
        answer = self._call("POST", self.base_url + path, headers, json.dumps({"file": resource}).encode())
        # The address of the pieces, at the host that we know: a server behind a proxy may name another one.
        base = urlsplit(self.base_url)
        url = urlsplit(answer.headers["x-goog-upload-url"])._replace(scheme=base.scheme, netloc=base.netloc).geturl()
        for offset in range(0, max(size, 1), PIECE):
            headers = {
                "X-Goog-Upload-Command": "upload" if offset + PIECE < size else "upload, finalize",
                "X-Goog-Upload-Offset": str(offset),
            }
            answer = self._call("POST", url, headers, _read(stream, min(PIECE, size - offset)))
            if answer.headers.get("x-goog-upload-status") != "active":
                break
        if answer.headers.get("x-goog-upload-status") != "final":
            raise ValueError("the upload was not completed")
        file: dict[str, Any] = answer.json()["file"]
        return file

    def _call(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> httpx2.Response:
        """Call the API by `adapters.http`, or by httpx2 through a proxy. Raises ProviderError and APIError."""
        if needs_proxy(self.base_url):
            response = self.http.request(method, url, headers=headers, content=body)
        else:
            sent = call(method, url, headers, body, public_only=self._public_only, step_seconds=self._timeout)
            answer = asyncio.run_coroutine_threadsafe(sent, background_loop()).result()
            response = httpx2.Response(answer.status, headers=list(answer.headers.items()), content=answer.body)
        genai().errors.APIError.raise_for_response(response)
        return response

    def get_json(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a resource as JSON. Raises ValueError if the response is no JSON object, and the SDK's errors."""
        answer = self.http.get(f"{self.base_url}/{API_VERSION}/{path}", params=params, headers=self._headers)
        genai().errors.APIError.raise_for_response(answer)
        body = answer.json()
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
        return body

    def delete(self, path: str) -> None:
        """DELETE a resource."""
        self._call("DELETE", f"{self.base_url}/{API_VERSION}/{path}", self._headers)

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of a file in chunks."""
        url = f"{self.base_url}/{API_VERSION}/{path}:download"
        with self.http.stream("GET", url, params={"alt": "media"}, headers=self._headers) as answer:
            if answer.status_code >= 400:
                answer.read()
            genai().errors.APIError.raise_for_response(answer)
            yield answer.iter_bytes(1 << 16)

    async def pieces(
        self, model: str, contents: list[dict[str, Any]], config: "types.GenerateContentConfig"
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The pieces of an answer in the API's JSON, as they come. Raises ProviderError.

        For one event loop only, the background's. Closing the generator closes the connection.
        """
        self._streamed = True
        opened: list[httpx2.Response] = []
        _opened.set(opened)
        with provider_errors():
            answer = await self.sdk.aio.models.generate_content_stream(model=model, contents=contents, config=config)
            try:
                async for piece in answer:
                    yield piece.model_dump(mode="json", by_alias=True, exclude_none=True)
            finally:
                for response in opened:
                    await response.aclose()
                with suppress(Exception):  # the SDK's own generators end now, and not when they are collected
                    async for _ in answer:
                        pass

    def close(self) -> None:
        self.sdk.close()
        self.http.close()
        if self._streamed:
            asyncio.run_coroutine_threadsafe(self._streams.aclose(), background_loop()).result(CLOSE_SECONDS)


def _read(stream: BinaryIO, size: int) -> bytes:
    """Exactly as many bytes."""
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise OSError("the stored file is shorter than it should be")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@contextmanager
def provider_errors() -> Iterator[None]:
    """Convert the SDK's exceptions to ProviderError. Only SDK calls belong inside."""
    try:
        yield
    except genai().errors.APIError as error:
        raise _api_error(error) from error
    except httpx2.TimeoutException as error:
        raise ProviderError(Reason.TIMEOUT, "The provider did not answer in time.", retryable=True) from error
    except httpx2.RequestError as error:  # no connection, one that broke, or one that cannot be unpacked
        if refused := refused_address(error):
            raise ProviderError(Reason.REQUEST_REFUSED, str(refused)) from error
        message = f"The connection to the provider failed ({type(error).__name__})."
        raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # A 200 that holds no JSON, or not what it should: the SDK has no error of its own for it. What it raises quotes
        # the answer, which belongs in no log.
        message = f"The provider's answer could not be read ({type(error).__name__})."
        raise ProviderError(Reason.PROVIDER_ERROR, message, retryable=True) from None


def _api_error(error: "errors.APIError") -> ProviderError:
    message = f"{error.code} {error.status or ''}: {error.message or 'no reason given'}"[:2000]
    # 403 with a reason is about the key or its project; without one, about what was asked for.
    if "API_KEY_INVALID" in _reasons(error) or error.code == 401 or (error.code == 403 and _reasons(error)):
        return ProviderError(Reason.INVALID_CREDENTIALS, message, status=error.code)
    if error.code == 429:
        return ProviderError(Reason.RATE_LIMITED, message, retryable=True, status=429, retry_after=_retry_after(error))
    if error.code == 408 or (error.code >= 500 and error.code != 501):
        return ProviderError(Reason.PROVIDER_ERROR, message, retryable=True, status=error.code)
    return ProviderError(Reason.REQUEST_REFUSED, message, status=error.code)


def _details(error: "errors.APIError") -> list[dict[str, Any]]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error", body)
    details = inner.get("details") if isinstance(inner, dict) else None
    return [entry for entry in details or [] if isinstance(entry, dict)]


def _reasons(error: "errors.APIError") -> set[str]:
    return {str(entry["reason"]) for entry in _details(error) if entry.get("reason")}


def _retry_after(error: "errors.APIError") -> float | None:
    """Return the seconds to wait that the provider asks for; None if it does not."""
    for entry in _details(error):
        delay = str(entry.get("retryDelay", ""))
        if delay.endswith("s"):
            try:
                return float(delay[:-1])
            except ValueError:
                return None
    return None
