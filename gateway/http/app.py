"""The ASGI application of `/v1/`, apart from Django: its overhead must stay within a millisecond or two a request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from core.tracebacks import place_of
from gateway.auth import authenticate
from gateway.errors import ApiError
from gateway.http import models, speech, transcriptions
from gateway.http.errors import response_of
from gateway.http.request import Request

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[None]]

REQUEST = "earshot.request"  # key of the scope


class Endpoint:
    """Wraps a handler as an ASGI application that authenticates the request first.

    The handler sends the response itself, by `Request.respond`, as a call is settled only after its response is sent.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request: Request = scope[REQUEST]
        request.access = await authenticate(request.headers.get("authorization"))
        await self._handler(request)


ROUTES = [
    Route("/v1/audio/transcriptions", Endpoint(transcriptions.transcribe), methods=["POST"]),
    Route("/v1/audio/translations", Endpoint(transcriptions.translate), methods=["POST"]),
    Route("/v1/audio/speech", Endpoint(speech.speak), methods=["POST"]),
    Route("/v1/models", Endpoint(models.list_models), methods=["GET"]),
    Route("/v1/models/{name:path}", Endpoint(models.show_model), methods=["GET"]),  # names may hold slashes
]


class Gateway:
    """The ASGI application of `routes`. All errors are answered in OpenAI's format.

    It replaces the class `Starlette`, whose error middleware logs exceptions with their text, which may quote a
    request.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # makes the router raise 404 and 405 instead of answering them
        if scope["type"] == "http":
            await self._serve(Request(scope, receive, send), send)
        else:
            await self._router(scope, receive, send)

    async def _serve(self, request: Request, send: Send) -> None:
        try:
            await self._route(request, send)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:
            if not request.disconnected:
                await _fail(request, _stopping())
        finally:
            await request.end()
            del request.scope[REQUEST]  # reference cycles would be left to the garbage collector

    async def _route(self, request: Request, send: Send) -> None:
        request.scope[REQUEST] = request
        try:
            await self._router(request.scope, request.receive, send)
        except HTTPException as error:
            await _fail(request, _not_routed(request, error))
        except ApiError as error:
            await _fail(request, error)
        except ClientDisconnect:
            raise
        except Exception as error:
            name = request.request_id
            logger.error("Request %s failed with %s at\n%s", name, type(error).__name__, place_of(error))
            message = f"Something went wrong here. Tell whoever looks after this site about request {name}."
            await _fail(request, ApiError(500, message, kind="server_error", code="internal_error"))


def _not_routed(request: Request, error: HTTPException) -> ApiError:
    """Return the error for a path (404) or method (405) without a route."""
    path = request.scope["path"]
    if error.status_code == 404:
        return ApiError(404, f"There is no {quote(path)} here.", code="unknown_url")
    allowed = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
    message = f"{path} takes {allowed}, not {request.method}."
    return ApiError(405, message, code="method_not_allowed", headers={"Allow": allowed})


def _stopping() -> ApiError:
    """Return the error for requests that are still running when the server's time to stop is over."""
    message = "The server stops just now. Send the request again."
    return ApiError(503, message, kind="server_error", code="stopping", headers={"Retry-After": "1"})


async def _fail(request: Request, error: ApiError) -> None:
    """Respond with `error`. A response that has begun is left without an end: the server closes the connection."""
    if error.status > 500:  # 500 is logged where it is caught; 4xx are the caller's
        logger.warning("Request %s ends with %s (%s).", request.request_id, error.status, error.code)
    if request.status is None:
        await request.respond(response_of(error))
