"""Speech through the gateway and through LiteLLM, beside the same stream without anything in between.

    python -m bench.gateway_speech

The provider begins after 100 ms and sends 20 parts, 25 to 75 ms apart. Each holds the moment at which it was sent, so
that what lies between sending and receiving is measured part by part. Direct, Earshot and LiteLLM take turns.
"""

import asyncio
import json
import random
import struct
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import urlsplit

import httptools

from bench.measure import body_lengths, cpu_seconds, gateways, options, percentile, print_table, provider, serve

PARTS = 20
PART = 4800  # bytes: 100 ms of 24 kHz
FIRST_AFTER, APART = 0.1, 0.05  # seconds
STAMP = struct.Struct("<d")


# --- the provider -----------------------------------------------------------------------------------


async def answer(reader, writer):
    """Whatever is asked for: a stream of stamped parts."""
    async with aclosing(body_lengths(reader, writer)) as lengths:
        async for length in lengths:
            await reader.readexactly(length)
            await asyncio.sleep(FIRST_AFTER)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(PARTS):
                if number:
                    await asyncio.sleep(APART * random.uniform(0.5, 1.5))
                part = STAMP.pack(time.monotonic()) + bytes(PART - STAMP.size)
                writer.write(b"%x\r\n%s\r\n" % (PART, part))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()


# --- who listens ------------------------------------------------------------------------------------


@dataclass
class Heard:
    """Of all streams: seconds."""

    first: list[float] = field(default_factory=list)  # from asking to the first byte
    delays: list[float] = field(default_factory=list)  # of each part, from its sending on
    streamed: int = 0  # streams whose first byte came before the last was sent
    streams: int = 0
    cpu: float = 0.0


class Listener:
    """A connection, and what comes on it: a general HTTP client would take longer than what is measured."""

    @classmethod
    async def connect(cls, server):
        self = cls()
        self.server, self.url = server, urlsplit(server.url)
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port)
        self.parser = httptools.HttpResponseParser(self)
        return self

    def on_body(self, body):
        self.taken += body

    def on_message_complete(self):
        self.complete = True

    async def listen(self, heard):
        wish = {"voice": "alloy", "input": "Tell me. " * 20, "response_format": "pcm"}
        body = json.dumps({"model": self.server.models["speak"], **wish}).encode()
        head = (
            f"POST {self.url.path}/audio/speech HTTP/1.1\r\nHost: {self.url.netloc}\r\n"
            f"Authorization: Bearer {self.server.key}\r\nContent-Type: application/json\r\n"
        )
        self.taken, self.complete = bytearray(), False
        first, stamps = None, []
        asked = time.monotonic()
        self.writer.write(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        while not self.complete:
            received = await self.reader.read(65536)
            assert received, f"{self.server.name} closed the connection"
            self.parser.feed_data(received)
            now = time.monotonic()
            if self.taken:
                first = first or now
            while len(self.taken) >= PART:
                stamps.append((STAMP.unpack_from(self.taken)[0], now))
                del self.taken[:PART]
        status = self.parser.get_status_code()
        assert (status, len(stamps)) == (200, PARTS), f"{self.server.name}: status {status}, {len(stamps)} parts"
        heard.first.append(first - asked)
        heard.delays += [now - sent for sent, now in stamps]
        heard.streamed += first < stamps[-1][0]
        heard.streams += 1


async def listen_at_once(server, at_once, rounds, heard):
    listeners = await asyncio.gather(*(Listener.connect(server) for _ in range(at_once)))
    await asyncio.gather(*(listener.listen(Heard()) for listener in listeners))  # connections and caches are there
    before = cpu_seconds(server.pid)
    for _ in range(rounds):
        await asyncio.gather(*(listener.listen(heard) for listener in listeners))
    heard.cpu += cpu_seconds(server.pid) - before
    for listener in listeners:
        listener.writer.close()


def measure(turns, rounds, small):
    with provider("bench.gateway_speech") as direct, gateways(direct, small=small) as behind:
        servers = [direct, *behind]
        rows = []
        for at_once in (1, 8, 32):
            results = {server.name: Heard() for server in servers}
            for _ in range(turns):
                for server in servers:
                    asyncio.run(listen_at_once(server, at_once, rounds, results[server.name]))
            rows += [row(name, at_once, heard, results["direct"]) for name, heard in results.items()]
        head = ("", "at once", "first byte, ms", "added", "streamed", "delay of a part, ms", "99 %", "CPU a stream, ms")
        print_table(head, rows)


def row(name, at_once, heard, direct):
    first, delays = 1000 * median(heard.first), [1000 * delay for delay in heard.delays]
    return (
        name,
        str(at_once),
        f"{first:.1f}",
        f"{first - 1000 * median(direct.first):+.1f}",
        f"{heard.streamed / heard.streams:.0%}",
        f"{median(delays):.2f}",
        f"{percentile(delays, 99):.2f}",
        f"{1000 * heard.cpu / heard.streams:.1f}",
    )


if __name__ == "__main__":
    if "--provider" in sys.argv:
        asyncio.run(serve(answer))
    else:
        chosen = options(__doc__, turns=(3, 1), rounds=(3, 1))
        measure(chosen.turns, chosen.rounds, chosen.small)
