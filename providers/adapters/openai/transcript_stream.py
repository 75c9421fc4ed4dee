"""Parsing of streamed transcriptions."""

import time
from collections.abc import AsyncGenerator, AsyncIterator

from providers.adapters.base import Transcription, TranscriptionPart
from providers.adapters.openai.errors import broken_off
from providers.adapters.openai.events import Event
from providers.adapters.openai.responses import tokens_of, transcription_of


async def transcript_parts(events: AsyncIterator[Event], started: float) -> AsyncGenerator[TranscriptionPart, None]:
    """Parse OpenAI's events, or vLLM's chunks, which have the format of chat. `started`: by `time.monotonic`. Raises
    ProviderError if the stream ends without a final event."""
    text, finished, usage = "", False, None
    async for event in events:
        if event.get("type") == "transcript.text.done":
            yield TranscriptionPart(final=transcription_of(event, time.monotonic() - started))
            return
        delta, last = _delta(event)
        text, finished, usage = text + delta, finished or last, event.get("usage") or usage
        if delta:
            yield TranscriptionPart(delta)
    if not finished:
        raise broken_off()
    input_tokens, output_tokens = tokens_of(usage)
    final = Transcription(text.strip(), time.monotonic() - started, input_tokens, output_tokens)
    yield TranscriptionPart(final=final)


def _delta(event: Event) -> tuple[str, bool]:
    """Return the text that was added, and whether it is the last."""
    if event.get("type") == "transcript.text.delta":
        return str(event["delta"]), False
    delta, last = "", False
    for choice in event.get("choices") or []:
        delta += (choice.get("delta") or {}).get("content") or ""
        last = last or bool(choice.get("finish_reason"))
    return delta, last
