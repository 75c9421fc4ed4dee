"""How close direct calls come to what a provider's limit allows: samples at a fixed latency, by a real qcluster.

    python -m bench.direct_calls                       # 1,000 samples, 100 ms, 32 calls at once, 2 workers
    python -m bench.direct_calls --repeat 5 --workers 4

The provider is the OpenAI stand-in, a process of its own on loopback, called by the real SDK. Time is from the first
call that it receives until the last result is stored; ideal is samples * latency / calls at once.
BENCH_DATABASE_URL measures another database than a new SQLite. Workers, stand-in and SDK share the machine's cores:
where other things run on it, that is measured, too.
"""

import statistics
import sys

from bench.measure import cpu_seconds, migrate, options, setup_django, standin, working_cluster

setup_django()

from django.db.models import Max, Sum  # noqa: E402

from accounts.services import ensure_workspace  # noqa: E402
from evaluations.models import Result, Run  # noqa: E402
from evaluations.services import start_run  # noqa: E402
from providers.models import Provider, SpeechModel  # noqa: E402
from tests.evaluations.gemini import make_audio_dataset  # noqa: E402
from tests.waiting import wait_for  # noqa: E402

ALLOWED = 1.3  # times the ideal


def measure(server, cluster, dataset, model, options):
    """How many times the ideal it takes."""
    cpu = cpu_seconds(cluster)
    run = start_run(dataset=dataset, models=[model])
    wait_for(lambda: Run.objects.get(pk=run.pk).is_finished, seconds=600, every=0.2)
    results = Result.objects.filter(run=run)
    assert results.filter(status="completed").count() == options.samples
    state = server.state()
    assert state["counts"] == {"transcriptions": options.samples}, state["counts"]
    assert len(state["calls"]) == options.samples, "the stand-in has forgotten the first calls"
    first = min(call["when"] for call in state["calls"])
    seconds = results.aggregate(last=Max("finished_at"))["last"].timestamp() - first
    ideal = options.samples * options.latency / options.at_once
    latency = results.aggregate(sum=Sum("latency"))["sum"] / options.samples
    print(
        f"{options.samples} samples: {seconds:.2f} s, {seconds / ideal:.2f} x the ideal {ideal:.2f} s; at most "
        f"{state['most_at_once']} calls at once of {options.at_once}; {1000 * latency:.0f} ms a call; "
        f"{1000 * (cpu_seconds(cluster) - cpu) / options.samples:.1f} ms of CPU a sample",
        flush=True,
    )
    assert state["most_at_once"] <= options.at_once
    return seconds / ideal


def main(options):
    migrate()
    workspace = ensure_workspace(slug="bench", name="Bench")
    dataset = make_audio_dataset(workspace, samples=options.samples)
    with standin(latency=options.latency) as server:
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
        with working_cluster(Q_WORKERS=str(options.workers)) as cluster:
            ratios = []
            for _ in range(options.repeat):
                ratios.append(measure(server, cluster, dataset, model, options))
                server.reset()
                server.settings(latency=options.latency)
    print(f"best {min(ratios):.2f} x, median {statistics.median(ratios):.2f} x; allowed are {ALLOWED} x")
    sys.exit(not options.small and min(ratios) > ALLOWED)


if __name__ == "__main__":
    main(options(__doc__, samples=(1000, 20), latency=(0.1, 0.01), at_once=(32, 4), workers=(2, 2), repeat=(3, 1)))
