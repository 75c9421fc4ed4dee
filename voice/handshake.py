"""Who connects, in which dialect, and to what: all that is known before the first event."""

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
    """What the request to connect says."""

    authorization: str | None = field(repr=False)  # as a header's value, wherever the key came from
    dialect: str  # RealtimeSession.Dialect
    subprotocol: str | None  # to be answered
    model: str | None
    kind: Kind


@dataclass(frozen=True)
class SessionStart:
    """Everything that a session begins with."""

    access: Access
    choices: Choices
    config: SessionConfig


def take_key_out(scope: Scope) -> None:
    """Move the key in the address to where only `read_handshake` finds it: servers log addresses by themselves."""
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
    # A key in the address is this site's own way, and its clients speak beta.
    is_beta = says_beta or (key_in_query is not None and not offered)
    return Handshake(
        authorization=authorization,
        dialect=RealtimeSession.Dialect.BETA if is_beta else RealtimeSession.Dialect.GA,
        subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
        model=query.get("model") or None,
        kind="transcription" if query.get("intent") == "transcription" else "realtime",
    )


async def begin(handshake: Handshake) -> SessionStart:
    """Raises ApiError: 401, 402, 403, 404 without such a model, 429."""
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
