"""Many large uploads at once: memory of the web process.

    python -m bench.gateway_uploads

All are sent at the same time, as fast as they are taken, and each is transcribed by a provider that takes a second.
LiteLLM is given the same.
"""

import asyncio
import json
import sys
import time
from contextlib import aclosing
from urllib.parse import urlsplit

from bench.measure import (
    body_lengths,
    cpu_seconds,
    forget_peak,
    gateways,
    options,
    peak_mb,
    provider,
    resident_mb,
    serve,
)
from tests.audio import make_wav

PIECE = 64 * 1024
ANSWER = json.dumps({"text": "so it was", "usage": {"type": "duration", "seconds": 700}}).encode()


# --- the provider: it takes everything and keeps nothing ----------------------------------------------


async def answer(reader, writer):
    async with aclosing(body_lengths(reader, writer)) as lengths:
        async for left in lengths:
            while left:
                left -= len(await reader.read(min(left, PIECE)))
            await asyncio.sleep(1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
            await writer.drain()


# --- who uploads --------------------------------------------------------------------------------------


async def upload(server, audio):
    """Whether it is transcribed."""
    url = urlsplit(server.url)
    start = (
        f'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n{server.models["hear"]}\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="long.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    ).encode()
    end = b"\r\n--b--\r\n"
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = [
        f"POST {url.path}/audio/transcriptions HTTP/1.1",
        f"Host: {url.netloc}",
        f"Authorization: Bearer {server.key}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(start) + len(audio) + len(end)}",
        "Connection: close",
    ]
    writer.write("\r\n".join([*head, "\r\n"]).encode() + start)
    for at in range(0, len(audio), PIECE):
        writer.write(audio[at : at + PIECE])
        await writer.drain()
    writer.write(end)
    answered = await reader.read()
    writer.close()
    return answered.startswith(b"HTTP/1.1 200") and b"so it was" in answered


async def upload_at_once(server, audio, count):
    """How many were transcribed."""
    answers = await asyncio.gather(*(upload(server, audio) for _ in range(count)), return_exceptions=True)
    return answers.count(True)


def measure(server, count, megabytes):
    audio = memoryview(make_wav(megabytes * 1_000_000 / 32_000))
    asyncio.run(upload_at_once(server, audio[: 44 + 32_000], 8))  # what it needs anyway
    before, cpu, began = resident_mb(server.pid), cpu_seconds(server.pid), time.perf_counter()
    forget_peak(server.pid)
    transcribed = asyncio.run(upload_at_once(server, audio, count))
    seconds = time.perf_counter() - began
    print(
        f"{server.name}: {count} uploads of {megabytes} MB at once: {transcribed} transcribed in {seconds:.0f} s, "
        f"{cpu_seconds(server.pid) - cpu:.0f} s of CPU; {before:.0f} MB before, at most {peak_mb(server.pid):.0f} MB",
        flush=True,
    )
    return transcribed


def main(count, megabytes, small):
    with provider("bench.gateway_uploads") as upstream, gateways(upstream, small=small) as servers:
        ours, *_ = [measure(server, count, megabytes) for server in servers]
    sys.exit(ours < count and f"Earshot has not transcribed {count - ours} of {count}")


if __name__ == "__main__":
    if "--provider" in sys.argv:
        asyncio.run(serve(answer))
    else:
        chosen = options(__doc__, uploads=(100, 4), megabytes=(25, 1))
        main(chosen.uploads, chosen.megabytes, chosen.small)
