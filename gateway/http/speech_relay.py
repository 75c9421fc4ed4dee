"""Speech passed on from providers that speak OpenAI's protocol themselves, without an SDK in between: it would cost
more CPU for every stream than everything else that the gateway does."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeGuard

from django.conf import settings

from gateway.http.relay import needs_proxy
from gateway.http.upstream import Streamed, upstream_of
from providers.adapters.base import Adapter, ModelConfig, OpenAIWire, ProviderError, SpeechPart, SpeechRequest
from providers.adapters.openai.errors import Call, error_in_answer, error_of_answer
from providers.adapters.openai.speaking import encoding_for, request_fields, sound_parts
from providers.reasons import Reason

LONGEST_ERROR = 64 * 1024  # bytes that are read of an answer which is none


def can_relay(adapter: Adapter, model: ModelConfig) -> TypeGuard[OpenAIWire]:
    """Whether the provider takes a plain request and answers with plain audio: otherwise the adapter knows how."""
    return (
        isinstance(adapter, OpenAIWire)
        and "stream_format" not in model.options
        and not needs_proxy(adapter.endpoint().base_url)
    )


async def relay(wire: OpenAIWire, model: ModelConfig, speech: SpeechRequest) -> AsyncGenerator[SpeechPart, None]:
    """What the provider says, as it comes. Raises ProviderError."""
    endpoint, call = wire.endpoint(), Call(private=(speech.text, speech.instructions))
    encoding = encoding_for(model, speech.encoding)
    body = json.dumps(request_fields(model, speech, encoding)).encode()
    headers = {**endpoint.headers, "Content-Type": "application/json", "Accept": "audio/*", "User-Agent": "earshot"}
    async with upstream_of(endpoint.base_url).stream("/audio/speech", headers, body) as answer:
        content_type = answer.headers.get("content-type", "")
        if answer.status != 200 or content_type.startswith("application/json"):
            raise await _error(answer, call)
        async with aclosing(sound_parts(_pieces(answer), content_type, model, encoding)) as parts:
            async for part in parts:
                yield part


async def _pieces(answer: Streamed) -> AsyncIterator[tuple[bytes, None]]:
    """Providers' events, which hold tokens, are for the adapter: there are no counts here."""
    pieces = answer.pieces()
    while True:
        try:
            async with asyncio.timeout(settings.PROVIDER_TIMEOUT_SECONDS):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise ProviderError(Reason.TIMEOUT, "The provider fell silent in mid-stream.", retryable=True) from None
        if piece is None:
            return
        yield piece, None


async def _error(answer: Streamed, call: Call) -> ProviderError:
    taken = b""
    async for piece, _ in _pieces(answer):
        taken += piece
        if len(taken) > LONGEST_ERROR:
            break
    try:
        body: Any = json.loads(taken)
    except ValueError:
        body = None
    if answer.status == 200:
        return error_in_answer(body, call)
    return error_of_answer(answer.status, body, answer.headers, call)
