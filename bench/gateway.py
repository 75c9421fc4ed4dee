"""Transcription through the gateway and through LiteLLM's proxy, beside the same calls without anything in between.

    python -m bench.gateway                      # 200 KB of WAV: one, 8 and 32 at once
    BENCH_DATABASE_URL=postgresql://... python -m bench.gateway

Direct, Earshot and LiteLLM take turns in every round, each in one process, all in front of the same stand-in of
OpenAI. Earshot checks the key, the rate limit and the budget, and commits two usage records' worth of writes for each
call; LiteLLM has no database here and keeps no books. CPU is the server process's own;
direct, the stand-in's.
"""

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import urlsplit

from bench.measure import Server, cpu_seconds, gateways, options, percentile, print_table, resident_mb, standin
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
    cpu, started = cpu_seconds(server.pid), time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(caller(server, request, until, latencies) for _ in range(at_once)))
    measured.rates.append(len(latencies) / (time.perf_counter() - started))
    measured.cpu.append((cpu_seconds(server.pid) - cpu) / len(latencies))
    measured.latencies += latencies


def report(servers: list[Server], results: dict[tuple[str, int], Measured]) -> None:
    rows = []
    for at_once in AT_ONCE:
        for server in servers:
            measured = results[server.name, at_once]
            rates, latencies, cpu = median(measured.rates), measured.latencies, median(measured.cpu)
            milliseconds = (1000 * each for each in (median(latencies), percentile(latencies, 99), cpu))
            rows.append((server.name, str(at_once), f"{rates:.0f}", *(f"{each:.2f}" for each in milliseconds)))
    print_table(("", "at once", "requests/s", "median ms", "p99 ms", "CPU ms"), rows)
    for server in servers:
        if server.name != "direct":
            added = median(results[server.name, 1].latencies) - median(results["direct", 1].latencies)
            print(f"{server.name} adds {added * 1000:.2f} ms, and has {resident_mb(server.pid):.0f} MB")


def main(rounds: int, seconds: float, small: bool) -> None:
    with standin() as upstream, gateways(upstream, small=small) as behind:
        servers = [Server("direct", upstream.url, "any", upstream.pid, {"hear": "gpt-4o-transcribe"}), *behind]
        results = {(server.name, at_once): Measured() for server in servers for at_once in AT_ONCE}
        for server in servers:
            asyncio.run(turn(server, 4, seconds / 3, Measured()))  # warm
        for _ in range(rounds):
            for at_once in AT_ONCE:
                for server in servers:
                    asyncio.run(turn(server, at_once, seconds, results[server.name, at_once]))
        report(servers, results)


if __name__ == "__main__":
    chosen = options(__doc__, rounds=(3, 1), seconds=(3.0, 0.2))
    main(chosen.rounds, chosen.seconds, chosen.small)
