"""Answers that come in parts."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from tests.servers.http11 import BrokenOff
from tests.servers.openai.settings import Fault, Settings


class Streams:
    """Sends parts at the pace that the settings ask for; counts the streams under way."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.open = 0
        self.released = asyncio.Event()

    async def send(self, parts: Sequence[bytes], fault: Fault | None, error: bytes) -> AsyncGenerator[bytes, None]:
        """The last part is the one that ends the stream well; `error` is sent in its place where that is the fault."""
        self.open += 1
        try:
            for index, part in enumerate(parts):
                if index:
                    await asyncio.sleep(self.settings.part_delay)
                if self.settings.hold_after == index:
                    await self.released.wait()
                if fault and fault.what == "die" and index >= max(1, len(parts) // 2):
                    raise BrokenOff
                if fault and fault.what == "error_event" and index >= max(1, len(parts) // 2):
                    yield error
                    return
                if fault and fault.what == "end_early" and index == len(parts) - 1:
                    return
                yield part
        finally:
            self.open -= 1


def event(data: dict[str, Any]) -> bytes:
    """A server-sent event, without a name, as OpenAI's audio and chat endpoints send them."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
