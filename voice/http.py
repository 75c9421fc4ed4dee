"""`POST /v1/realtime/client_secrets`; for the beta dialect `/sessions` and `/transcription_sessions`."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.errors import ApiError, invalid
from gateway.http.app import Endpoint
from gateway.http.request import Request
from voice import client_secrets
from voice.models import RealtimeSession
from voice.pipelines import choices_for
from voice.protocol.config import Kind
from voice.session_config import DIALECTS, SessionRequest, config_of

Dialect = RealtimeSession.Dialect

MAX_BODY = 256 * 1024  # bytes


async def make_client_secret(request: Request) -> None:
    """Answers with a client secret for sessions with the given settings."""
    given = await _object(request)
    session = _mapping(given, "session")
    kind: Kind = "transcription" if session.get("type") == "transcription" else "realtime"
    seconds = _seconds(_mapping(given, "expires_after"))
    value, expires_at, shown = await _made(request, session, kind, seconds, Dialect.GA)
    await _answer(request, {"value": value, "expires_at": expires_at, "session": shown})


async def make_session(request: Request) -> None:
    """Answers with a session in the beta dialect that contains a client secret."""
    await _make_beta_session(request, "realtime")


async def make_transcription_session(request: Request) -> None:
    await _make_beta_session(request, "transcription")


async def _make_beta_session(request: Request, kind: Kind) -> None:
    session = await _object(request)
    seconds = _seconds(_mapping(_mapping(session, "client_secret"), "expires_after"))
    value, expires_at, shown = await _made(request, session, kind, seconds, Dialect.BETA)
    await _answer(request, {**shown, "client_secret": {"value": value, "expires_at": expires_at}})


async def _made(
    request: Request, session: Mapping[str, Any], kind: Kind, seconds: int, dialect: str
) -> tuple[str, int, dict[str, Any]]:
    """Make a secret; return it, its expiry in seconds since 1970, and the rendered session. Raises ApiError."""
    settings = {name: value for name, value in session.items() if name not in ("model", "client_secret")}
    wanted = SessionRequest(dialect=dialect, kind=kind, model=_model(session), settings=settings)
    config = config_of(await choices_for(request.access), wanted)
    value, expires_at = await client_secrets.make(request.access, wanted, seconds)
    return value, int(expires_at.timestamp()), DIALECTS[dialect].session(f"sess_{secrets.token_hex(10)}", config)


def _model(session: Mapping[str, Any]) -> str | None:
    model = session.get("model")
    if model is not None and not isinstance(model, str):
        raise invalid("'session.model' must be a text.", "session.model", "invalid_type")
    return model


async def _object(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object; an empty body is an empty object. Raises ApiError 400."""
    body = await request.read_all(MAX_BODY)
    try:
        given = msgspec.json.decode(body) if body.strip() else {}
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise invalid("The body is no JSON object.")
    return given


def _mapping(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object.", name, "invalid_type")
    return value


def _seconds(expires_after: Mapping[str, Any]) -> int:
    seconds = expires_after.get("seconds", client_secrets.USUAL)
    shortest, longest = client_secrets.SHORTEST, client_secrets.LONGEST
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not shortest <= seconds <= longest:
        message = f"'expires_after.seconds' must be a whole number from {shortest} to {longest}."
        raise ApiError(400, message, param="expires_after.seconds", code="invalid_value")
    if expires_after.get("anchor", "created_at") != "created_at":
        raise invalid("'expires_after.anchor' must be 'created_at'.", "expires_after.anchor", "invalid_value")
    return seconds


async def _answer(request: Request, answer: dict[str, Any]) -> None:
    await request.respond(JSONResponse(answer, headers={"Cache-Control": "no-store"}))


ROUTES = [
    Route("/v1/realtime/client_secrets", Endpoint(make_client_secret), methods=["POST"]),
    Route("/v1/realtime/sessions", Endpoint(make_session), methods=["POST"]),
    Route("/v1/realtime/transcription_sessions", Endpoint(make_transcription_session), methods=["POST"]),
]
