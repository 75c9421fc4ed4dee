"""A client of /v1/realtime that is written by hand: for what no SDK would send."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 60.0  # seconds for one event: machines that run tests are busy


class Client:
    def __init__(self, socket):
        self.socket = socket
        self.events = []  # all that came

    async def send(self, type, **fields):
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def append(self, samples, piece_ms=100):
        """24 kHz samples, in pieces."""
        piece = 24 * piece_ms
        for at in range(0, len(samples), piece):
            audio = base64.b64encode(samples[at : at + piece].tobytes()).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    async def next(self):
        async with asyncio.timeout(PATIENCE):
            event = json.loads(await self.socket.recv())
        self.events.append(event)
        return event

    async def until(self, *types):
        """The next event of one of the types."""
        while (event := await self.next())["type"] not in types:
            pass
        return event

    async def say(self, samples):
        """A turn by hand; its response.done."""
        await self.append(samples)
        await self.send("input_audio_buffer.commit")
        await self.send("response.create")
        return await self.until("response.done")

    def types(self):
        return [event["type"] for event in self.events]

    def named(self, type):
        return [event for event in self.events if event["type"] == type]

    def audio(self, type="response.output_audio.delta"):
        """All audio of answers."""
        return b"".join(base64.b64decode(event["delta"]) for event in self.named(type))


@asynccontextmanager
async def connected(live, query="", key=None, **options):
    """A client whose session was created. `query` goes behind the address."""
    options.setdefault("additional_headers", {"Authorization": f"Bearer {key or live.key}"})
    address = live.api.replace("http://", "ws://") + "/realtime" + query
    async with connect(address, max_size=None, compression=None, proxy=None, **options) as socket:
        client = Client(socket)
        assert (await client.next())["type"] == "session.created"
        yield client


async def closed(client):
    """The code and the reason that the session ends with."""
    try:
        while True:
            await client.next()
    except ConnectionClosed as error:
        return error.rcvd.code, error.rcvd.reason
