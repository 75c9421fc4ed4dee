"""Chat: what is asked, and the answer as it is written."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from providers.adapters.base import ChatPart, ChatRequest, ModelConfig, ProviderError
from providers.adapters.openai.errors import broken_off
from providers.adapters.openai.events import Event
from providers.adapters.openai.responses import tokens_of
from providers.reasons import Reason


def request_fields(model: ModelConfig, request: ChatRequest, limit_name: str) -> dict[str, Any]:
    """`limit_name`: what the provider calls the most tokens of an answer."""
    fields: dict[str, Any] = {
        "model": model.upstream_name,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if request.max_output_tokens is not None:
        fields[limit_name] = request.max_output_tokens
    return fields


async def chat_parts(events: AsyncIterator[Event]) -> AsyncGenerator[ChatPart, None]:
    """Raises ProviderError where the answer was filtered, or ends without saying so."""
    finish, usage = "", None
    async for event in events:
        usage = event.get("usage") or usage
        for choice in event.get("choices") or []:
            if text := (choice.get("delta") or {}).get("content"):
                yield ChatPart(text)
            finish = choice.get("finish_reason") or finish
    if finish == "content_filter":
        raise ProviderError(Reason.BLOCKED, "The provider's filter blocked the answer.")
    if not finish:
        raise broken_off()
    input_tokens, output_tokens = tokens_of(usage)
    yield ChatPart("", input_tokens, output_tokens, truncated=finish == "length")
