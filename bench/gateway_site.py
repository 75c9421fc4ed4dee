"""What the measurements of the gateway share: the site, a LiteLLM proxy beside it, and the stand-in behind both, each
in a process of its own."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LITELLM = Path(tempfile.gettempdir()) / "earshot-litellm"  # its own environment, kept for the next time
LITELLM_KEY = "sk-bench"


@dataclass
class Server:
    """Something that speaks OpenAI's protocol."""

    name: str
    url: str  # ends in /v1
    key: str
    pid: int
    models: dict[str, str]  # what is meant -> what it is called there

    @property
    def cpu_seconds(self) -> float:
        """Of the process and its children, so far."""
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in family(self.pid)) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """Resident, of the one process."""
        return _status(self.pid, "VmRSS")

    @property
    def peak_megabytes(self) -> float:
        """The most that it was since `forget_peak`."""
        return _status(self.pid, "VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def _stat(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _status(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def family(pid):
    """The process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def wait_until_it_answers(url, process, headers=None, seconds=120):
    """Any HTTP answer will do."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{url}: the server ended by itself")
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer")


@contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def standin(**settings):
    """The stand-in of OpenAI, in a process of its own."""
    from tests.servers.openai import OpenAIServer

    with OpenAIServer.start(own_process=True, **settings) as server:
        yield server


async def body_lengths(reader, writer):
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


async def serve(answer):
    """Serve connections by `answer(reader, writer)` for ever; prints the port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def provider(script):
    """A provider that `script` serves in a process of its own when it is run with `--provider`."""
    process = subprocess.Popen([sys.executable, script, "--provider"], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        yield Server("direct", url, LITELLM_KEY, process.pid, {"speak": "voice"})
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def earshot(upstream, database_url=None, **environment):
    """One web process on a new database: SQLite, unless another one is named, which is empty."""
    folder = tempfile.mkdtemp(prefix="earshot-bench-")
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database_url or f"sqlite:///{folder}/bench.sqlite3",
        "MEDIA_ROOT": f"{folder}/media",
        "LOG_LEVEL": "WARNING",
        "WEBHOOK_ALLOW_PRIVATE": "1",
        **environment,
    }
    try:
        made = subprocess.run(
            [sys.executable, "-m", "bench.gateway_site", upstream.url],
            cwd=ROOT,
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
        key, port, command = json.loads(made.stdout.splitlines()[-1])
        with ended(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})) as process:
            wait_until_it_answers(f"http://127.0.0.1:{port}/healthz", process)
            models = {"hear": "studio/transcribe", "speak": "studio/voice", "speak wav": "studio/plain-voice"}
            yield Server("Earshot", f"http://127.0.0.1:{port}/v1", key, process.pid, models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_site(upstream_url):
    """Prints the key, the port and the command line of the server, once there is a database for it."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
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
    print(json.dumps([secret, port, uvicorn("127.0.0.1", port)]))


@contextmanager
def litellm(upstream):
    """LiteLLM's proxy with one worker, from the package index, in an environment of its own. Without a database: it
    keeps no books."""
    if not (LITELLM / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", LITELLM], check=True)
        subprocess.run([LITELLM / "bin" / "pip", "install", "--quiet", "litellm[proxy]"], check=True)
    from tests.evaluations.site import free_port

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
        with ended(subprocess.Popen(command, env=environment, **quiet)) as process:
            url = f"http://127.0.0.1:{port}"
            wait_until_it_answers(f"{url}/health/liveliness", process, {"Authorization": f"Bearer {LITELLM_KEY}"})
            yield Server("LiteLLM", f"{url}/v1", LITELLM_KEY, process.pid, names)


if __name__ == "__main__" and len(sys.argv) > 1:  # run without arguments, as `make bench` does: nothing to measure
    make_site(sys.argv[1])
