"""Reads a request to connect: who asks, in which dialect, for which model and settings."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

from starlette.types import Scope
from starlette.websockets import WebSocket

from accounts.access import Access
from gateway.auth import authenticate
from voice import client_secrets
from voice.models import RealtimeSession
from voice.pipelines import Choices, choices_for
from voice.protocol.config import Kind, SessionConfig
from voice.session_config import SessionRequest, config_of

SUBPROTOCOL = "realtime"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
BETA_HEADER = "realtime=v1"
KEY_IN_QUERY = "authorization"
KEY = "earshot.key"  # in the scope


@dataclass(frozen=True)
class Handshake:
    """The request to connect."""

    authorization: str | None = field(repr=False)  # as in the header, wherever the client put the key
    dialect: str  # RealtimeSession.Dialect
    subprotocol: str | None  # that the answer names
    model: str | None
    kind: Kind


@dataclass(frozen=True)
class SessionStart:
    """The caller, models and settings that a session starts with."""

    access: Access
    choices: Choices
    config: SessionConfig


def take_key_out(scope: Scope) -> None:
    """Move a key from the address to `scope[KEY]`, as servers log addresses."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    scope["query_string"] = urlencode([pair for pair in query if pair[0] != KEY_IN_QUERY]).encode()
    scope[KEY] = next((value for name, value in query if name == KEY_IN_QUERY), None)


def read_handshake(websocket: WebSocket) -> Handshake:
    key_in_query: str | None = websocket.scope[KEY]
    query = websocket.query_params
    offered = websocket.scope.get("subprotocols") or []
    key_offered = next((each[len(KEY_SUBPROTOCOL) :] for each in offered if each.startswith(KEY_SUBPROTOCOL)), None)
    authorization = websocket.headers.get("authorization")
    if authorization is None and (key := key_offered or _without_scheme(key_in_query)):
        authorization = f"Bearer {key}"
    says_beta = BETA_SUBPROTOCOL in offered or BETA_HEADER in websocket.headers.get("openai-beta", "")
    # A key in the address is this site's extension of the protocol; its clients speak the beta dialect.
    is_beta = says_beta or (key_in_query is not None and not offered)
    return Handshake(
        authorization=authorization,
        dialect=RealtimeSession.Dialect.BETA if is_beta else RealtimeSession.Dialect.GA,
        subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
        model=query.get("model") or None,
        kind="transcription" if query.get("intent") == "transcription" else "realtime",
    )


async def begin(handshake: Handshake) -> SessionStart:
    """Authenticate the caller and resolve models and settings.

    Raises ApiError: 401, 402, 403, 404 for an unknown model, 429.
    """
    secret = await client_secrets.find(handshake.authorization)
    if secret is None:
        access = await authenticate(handshake.authorization)
        wanted = SessionRequest(handshake.dialect, handshake.kind, handshake.model)
    else:
        access = secret.access
        wanted = replace(secret.wanted, model=secret.wanted.model or handshake.model)
    choices = await choices_for(access)
    return SessionStart(access, choices, config_of(choices, wanted))


def _without_scheme(key: str | None) -> str | None:
    return re.sub(r"^Bearer\s+", "", key, flags=re.IGNORECASE) if key else None
