"""Who connects, in which dialect, and to what: all that is known before the first event."""

import re
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

from accounts.access import Access
from gateway.admission import admit
from gateway.realtime import client_secrets
from gateway.realtime.core.config import Kind, SessionConfig
from gateway.realtime.core.dialects import GA, Beta
from gateway.realtime.core.dialects.fields import Fields
from gateway.realtime.core.errors import ProtocolError
from gateway.realtime.core.update import updated
from gateway.realtime.core.wire import Dialect
from gateway.realtime.models import RealtimeSession
from gateway.realtime.pipelines import Choices, choices_for
from gateway.refused import Refused

Scope = MutableMapping[str, Any]

SUBPROTOCOL = "realtime"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
BETA_HEADER = "realtime=v1"
DIALECTS: dict[str, Dialect] = {RealtimeSession.Dialect.GA: GA(), RealtimeSession.Dialect.BETA: Beta()}
KEY_IN_QUERY = "authorization"


@dataclass(frozen=True)
class Handshake:
    """What the request to connect says."""

    authorization: str | None = field(repr=False)  # as a header's value, wherever the key came from
    dialect: str  # RealtimeSession.Dialect
    subprotocol: str | None  # to be answered
    model: str | None
    kind: Kind


@dataclass(frozen=True)
class Beginning:
    """Everything that a session begins with."""

    access: Access
    choices: Choices
    config: SessionConfig


def take_key_out(scope: Scope) -> str | None:
    """The key in the address, which is gone from `scope` afterwards: servers log addresses by themselves."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    scope["query_string"] = urlencode([pair for pair in query if pair[0] != KEY_IN_QUERY]).encode()
    return next((value for name, value in query if name == KEY_IN_QUERY), None)


def read_handshake(scope: Scope, key_in_query: str | None) -> Handshake:
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    offered = scope.get("subprotocols") or []
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    key_offered = next((each[len(KEY_SUBPROTOCOL) :] for each in offered if each.startswith(KEY_SUBPROTOCOL)), None)
    authorization = headers.get(b"authorization")
    if authorization is None and (key := key_offered or _without_scheme(key_in_query)):
        authorization = f"Bearer {key}"
    says_beta = BETA_SUBPROTOCOL in offered or BETA_HEADER in headers.get(b"openai-beta", "")
    # A key in the address is this site's own way, and its clients speak beta.
    is_beta = says_beta or (key_in_query is not None and not offered)
    return Handshake(
        authorization=authorization,
        dialect=RealtimeSession.Dialect.BETA if is_beta else RealtimeSession.Dialect.GA,
        subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
        model=query.get("model"),
        kind="transcription" if query.get("intent") == "transcription" else "realtime",
    )


async def begin(handshake: Handshake) -> Beginning:
    """Raises Refused: 401, 402, 403, 404 without such a model, 429."""
    secret = await client_secrets.find(handshake.authorization)
    access = secret.access if secret else await admit(handshake.authorization)
    wanted = dict(secret.session) if secret else {}
    kind: Kind = "transcription" if "transcription" in (handshake.kind, wanted.get("type")) else "realtime"
    choices = await choices_for(access)
    model = handshake.model or wanted.pop("model", None)
    return Beginning(access, choices, config_of(choices, kind, model, wanted, DIALECTS[handshake.dialect]))


def config_of(
    choices: Choices, kind: Kind, model: str | None, wanted: Mapping[str, Any], dialect: Dialect
) -> SessionConfig:
    """What a session begins with; `wanted` is a session as the dialect writes it. Raises Refused."""
    pipeline = choices.begin_with(None if kind == "transcription" else model)
    config = SessionConfig(
        model=pipeline.name,
        stt_model=pipeline.stt_model,
        llm_model=pipeline.llm_model,
        tts_model=pipeline.tts_model,
        voice=pipeline.voice,
        instructions=pipeline.instructions,
        kind=kind,
        expires_at=round(time.time()) + settings.REALTIME_SESSION_MINUTES * 60,
    )
    if kind == "transcription" and model in choices.models.stt:
        config = replace(config, stt_model=str(model))
    try:
        patch = dialect.session_patch(Fields(wanted, "session"), kind)
        return updated(config, patch, models=choices.models, defaults=config)
    except ProtocolError as error:
        raise Refused(400, error.code, str(error), kind="invalid_request_error") from error


def _without_scheme(key: str | None) -> str | None:
    return re.sub(r"^Bearer\s+", "", key, flags=re.IGNORECASE) if key else None
