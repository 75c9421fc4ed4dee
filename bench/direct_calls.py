"""How close direct calls come to what a provider's limit allows: samples at a fixed latency, by a real qcluster.

    python bench/direct_calls.py                       # 1,000 samples, 100 ms, 32 calls at once, 2 workers
    python bench/direct_calls.py --repeat 5 --workers 4

The provider is the OpenAI stand-in, a process of its own on loopback, called by the real SDK. Time is from the first
call that it receives until the last result is stored; ideal is samples * latency / calls at once.
BENCH_DATABASE_URL measures another database than a new SQLite. Workers, stand-in and SDK share the machine's cores:
where other things run on it, that is measured, too.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
folder = tempfile.mkdtemp(prefix="earshot-bench-")
os.environ.update(
    DJANGO_SETTINGS_MODULE="tests.settings",
    DATABASE_URL=os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3"),
    MEDIA_ROOT=f"{folder}/media",
    LOG_LEVEL="WARNING",
)

import django  # noqa: E402
import psutil  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db.models import Max, Sum  # noqa: E402

from accounts.services import ensure_workspace  # noqa: E402
from core.queue import enqueue, waiting  # noqa: E402
from evaluations.models import Result, Run, Timer  # noqa: E402
from evaluations.services import start_run  # noqa: E402
from providers.models import Provider, SpeechModel  # noqa: E402
from tests.evaluations.cluster import running_cluster, wait_for  # noqa: E402
from tests.evaluations.gemini import make_audio_dataset  # noqa: E402
from tests.servers.openai import OpenAIServer  # noqa: E402

ALLOWED = 1.3  # times the ideal


def cpu_of(cluster):
    """Seconds that the cluster's processes have worked."""
    times = [process.cpu_times() for process in psutil.Process(cluster.process.pid).children(recursive=True)]
    return sum(each.user + each.system for each in times)


def measure(server, cluster, dataset, model, options):
    """How many times the ideal it takes."""
    cpu = cpu_of(cluster)
    run = start_run(dataset=dataset, models=[model])
    wait_for(lambda: Run.objects.get(pk=run.pk).is_finished, seconds=600, every=0.2)
    results = Result.objects.filter(run=run)
    assert results.filter(status="completed").count() == options.samples
    state = server.state()
    assert state["counts"] == {"transcriptions": options.samples}, state["counts"]
    first = min(call["when"] for call in state["calls"])
    seconds = results.aggregate(last=Max("finished_at"))["last"].timestamp() - first
    ideal = options.samples * options.latency / options.at_once
    latency = results.aggregate(sum=Sum("latency"))["sum"] / options.samples
    print(
        f"{options.samples} samples: {seconds:.2f} s, {seconds / ideal:.2f} x the ideal {ideal:.2f} s; at most "
        f"{state['most_at_once']} calls at once of {options.at_once}; {1000 * latency:.0f} ms a call; "
        f"{1000 * (cpu_of(cluster) - cpu) / options.samples:.1f} ms of CPU a sample",
        flush=True,
    )
    assert state["most_at_once"] <= options.at_once
    return seconds / ideal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds")
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    workspace = ensure_workspace(slug="bench", name="Bench")
    dataset = make_audio_dataset(workspace, samples=options.samples)
    with OpenAIServer.start(own_process=True, latency=options.latency) as server:
        provider = Provider.objects.create(
            workspace=workspace,
            name="stand-in",
            kind="openai_compatible",
            base_url=server.url,
            max_concurrency=options.at_once,
        )
        model = SpeechModel.objects.create(
            provider=provider, name="whisper", upstream_name="whisper-large", speech_to_text=True
        )
        with (
            tempfile.TemporaryDirectory() as logs,
            running_cluster(Path(logs), Q_WORKERS=str(options.workers)) as cluster,
        ):
            enqueue("evaluations.tasks.sweep")
            wait_for(lambda: Timer.objects.exists() and not waiting(), seconds=60)  # a worker has done something
            ratios = []
            for _ in range(options.repeat):
                ratios.append(measure(server, cluster, dataset, model, options))
                server.reset()
                server.settings(latency=options.latency)
    print(f"best {min(ratios):.2f} x, median {sorted(ratios)[len(ratios) // 2]:.2f} x; allowed are {ALLOWED} x")
    sys.exit(min(ratios) > ALLOWED)


if __name__ == "__main__":
    main()
