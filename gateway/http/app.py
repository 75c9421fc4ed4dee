"""`/v1/`: a bare ASGI application beside Django's, since a request may cost no more than a millisecond or two here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from core.tracebacks import place_of
from gateway.auth import authenticate
from gateway.errors import Refused
from gateway.http import models, speech, transcriptions
from gateway.http.errors import Disconnected, HttpError, of_refusal
from gateway.http.request import Receive, Request, Scope, Send

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[None]]

ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/models": {"GET": models.list_models},
    "/v1/audio/transcriptions": {"POST": transcriptions.transcribe},
    "/v1/audio/translations": {"POST": transcriptions.translate},
    "/v1/audio/speech": {"POST": speech.speak},
}
ONE_MODEL = "/v1/models/"  # what follows is the model's name, which may hold a slash


async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves one request, and answers whatever goes wrong in it."""
    request = Request(scope, receive, send)
    try:
        await _serve(request)
    except Disconnected:
        pass
    except asyncio.CancelledError:
        if not request.disconnected:
            await _fail(request, _stopping())
    finally:
        await request.close()


async def _serve(request: Request) -> None:
    try:
        handler = _handler_of(request)
        request.access = await authenticate(request.header("authorization"))
        await handler(request)
    except Refused as refused:
        await _fail(request, of_refusal(refused))
    except HttpError as error:
        await _fail(request, error)
    except (Disconnected, asyncio.CancelledError):
        raise
    except Exception as error:
        logger.error("Request %s failed with %s at\n%s", request.request_id, type(error).__name__, place_of(error))
        message = f"Something went wrong here. Tell whoever looks after this site about request {request.request_id}."
        await _fail(request, HttpError(500, message, kind="server_error", code="internal_error"))


def _stopping() -> HttpError:
    """The server was told to stop, and has waited for as long as it may."""
    message = "The server stops just now. Send the request again."
    return HttpError(503, message, kind="server_error", code="stopping", headers={"Retry-After": "1"})


async def _fail(request: Request, error: HttpError) -> None:
    """An answer that has begun is left as it is: without an end, which the server turns into a broken connection."""
    if error.status > 500:  # the rest has been told of, or is the caller's
        logger.warning("Request %s ends with %s (%s).", request.request_id, error.status, error.code)
    if request.status is None:
        await request.answer_error(error)


def _handler_of(request: Request) -> Handler:
    """Raises HttpError 404 and 405."""
    methods = ROUTES.get(request.path)
    if methods is None and request.path.startswith(ONE_MODEL):
        methods = {"GET": models.show_model}
    if methods is None:
        raise HttpError(404, f"There is no {quote(request.path)} here.", code="unknown_url")
    handler = methods.get(request.method)
    if handler is None:
        allowed = ", ".join(methods)
        message = f"{request.path} takes {allowed}, not {request.method}."
        raise HttpError(405, message, code="method_not_allowed", headers={"Allow": allowed})
    return handler
