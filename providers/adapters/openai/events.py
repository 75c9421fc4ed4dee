"""Server-sent events, decoded by the SDK and left as they are: servers differ in what they put into them."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2

from providers.adapters.openai.sdk import sdk

if TYPE_CHECKING:
    import openai

Event = dict[str, Any]


def is_event_stream(answer: httpx2.Response) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("text/event-stream")


async def event_stream(client: "openai.AsyncOpenAI", answer: httpx2.Response) -> AsyncIterator[Event]:
    """Raises the SDK's errors, also for an event that is one, and ValueError for one that is no JSON object."""
    async with sdk().AsyncStream(cast_to=object, response=answer, client=client) as events:
        async for event in events:
            if not isinstance(event, dict):
                raise ValueError("not an event")
            yield event
