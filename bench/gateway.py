"""Transcription through the gateway and through LiteLLM's proxy, beside the same calls without anything in between.

    python bench/gateway.py                      # 200 KB of WAV: one, 8 and 32 at once
    python bench/gateway.py --rounds 5 --only earshot direct
    BENCH_DATABASE_URL=postgresql://... python bench/gateway.py

Direct, Earshot and LiteLLM take turns in every round, each in one process, all in front of the same stand-in of
OpenAI. Earshot checks the key, the rate limit and the budget, and commits two usage records' worth of writes for each
call; LiteLLM has no database here and keeps no books. CPU is the server process's own.
"""

import argparse
import asyncio
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.gateway_site import Server, earshot, litellm, standin
from tests.audio import make_wav

SECONDS = 6.4  # of audio: 200 KB
BOUNDARY = "a-boundary-that-is-nowhere-in-the-audio"
AT_ONCE = (1, 8, 32)


@dataclass
class Measured:
    """Of all rounds, by how many at once."""

    latencies: list[float] = field(default_factory=list)  # seconds
    rates: list[float] = field(default_factory=list)  # requests a second
    cpu: list[float] = field(default_factory=list)  # seconds a request


def request_bytes(server: Server) -> bytes:
    """A whole request, made once: what asks must cost as little as can be."""
    parts = [("model", server.models["hear"]), ("response_format", "json")]
    body = "".join(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in parts)
    body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    body += "Content-Type: audio/wav\r\n\r\n"
    whole = body.encode() + make_wav(SECONDS) + f"\r\n--{BOUNDARY}--\r\n".encode()
    url = urlsplit(server.url)
    head = (
        f"POST {url.path}/audio/transcriptions HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(whole)}\r\n\r\n"
    )
    return head.encode() + whole


async def caller(server: Server, request: bytes, until: float, latencies: list[float]) -> None:
    """Calls one after the other, by one connection."""
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        latencies.append(time.perf_counter() - started)
        if not head.startswith(b"http/1.1 200") or b'"text"' not in body:
            raise RuntimeError(f"{server.name}: {head.splitlines()[0]!r} {body!r}")
    writer.close()


async def turn(server: Server, at_once: int, seconds: float, measured: Measured) -> None:
    request, latencies = request_bytes(server), []
    cpu, started = server.cpu_seconds, time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(caller(server, request, until, latencies) for _ in range(at_once)))
    measured.rates.append(len(latencies) / (time.perf_counter() - started))
    measured.cpu.append((server.cpu_seconds - cpu) / len(latencies))
    measured.latencies += latencies


def report(servers: list[Server], results: dict[tuple[str, int], Measured]) -> None:
    print(f"{'':10}{'at once':>8}{'requests/s':>12}{'median ms':>11}{'p99 ms':>9}{'CPU ms':>8}")
    for at_once in AT_ONCE:
        for server in servers:
            measured = results[server.name, at_once]
            latencies = sorted(measured.latencies)
            p99 = latencies[int(len(latencies) * 0.99)]
            print(
                f"{server.name:10}{at_once:8}{median(measured.rates):12.0f}{median(latencies) * 1000:11.2f}"
                f"{p99 * 1000:9.1f}{median(measured.cpu) * 1000:8.2f}"
            )
    for server in servers:
        if server.name != "direct":
            added = median(results[server.name, 1].latencies) - median(results["direct", 1].latencies)
            print(f"{server.name} adds {added * 1000:.2f} ms, and has {server.megabytes:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each turn (%(default)s)")
    parser.add_argument("--only", nargs="+", default=["direct", "earshot", "litellm"])
    options = parser.parse_args()
    with ExitStack() as stack:
        upstream = stack.enter_context(standin())
        servers = [Server("direct", upstream.url, "any", os.getpid(), {"hear": "gpt-4o-transcribe"})]
        if "earshot" in options.only:
            servers.append(stack.enter_context(earshot(upstream, os.environ.get("BENCH_DATABASE_URL"))))
        if "litellm" in options.only:
            servers.append(stack.enter_context(litellm(upstream)))
        results = {(server.name, at_once): Measured() for server in servers for at_once in AT_ONCE}
        for server in servers:
            asyncio.run(turn(server, 4, 1, Measured()))  # warm
        for _ in range(options.rounds):
            for at_once in AT_ONCE:
                for server in servers:
                    asyncio.run(turn(server, at_once, options.seconds, results[server.name, at_once]))
        report(servers, results)


if __name__ == "__main__":
    main()
