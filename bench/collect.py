"""A batch's result file turned into scored rows: seconds of CPU and peak memory, for 10,000 and 100,000 lines.

    python -m bench.collect

Each in a fresh process on a new SQLite database; the clock runs from the kept file to the last score.
"""

import gzip
import json
import os
import tempfile
import time

from bench.measure import forget_peak, in_new_process, migrate, options, peak_mb, setup_django

WORDS = "the quick brown fox jumps over the lazy dog and nobody in the house has ever seen it do so before"


def measure(lines):
    setup_django(BATCH_SHARD_SIZE=str(lines))
    migrate()
    from django.core.files.base import File
    from django.utils import timezone

    from accounts.services import ensure_workspace
    from evaluations.models import Result, Score, Shard
    from evaluations.pipeline.batch import new_batch
    from evaluations.pipeline.batch_output import Collector
    from evaluations.scoring.normalizers import get_normalizer
    from evaluations.scoring.services import score_results
    from evaluations.services import start_run
    from providers.models import Provider, SpeechModel
    from providers.pricing import price_list
    from providers.registry import adapter_for
    from tests.scripted.data import make_dataset

    workspace = ensure_workspace(slug="bench", name="Bench")
    provider = Provider.objects.create(workspace=workspace, name="gemini", kind="gemini")
    model = SpeechModel.objects.create(
        provider=provider, name="m", upstream_name="m", speech_to_text=True, supports_batch=True
    )
    dataset = make_dataset(workspace, samples=lines, reference=WORDS)
    run = start_run(dataset=dataset, models=[model])
    shard = Shard.objects.get(job__run=run)
    batch = new_batch(shard)
    answer = WORDS.replace("lazy", "crazy")
    with tempfile.TemporaryFile() as file:
        with gzip.GzipFile(fileobj=file, mode="wb") as packed:
            for pk in Result.objects.filter(run=run).values_list("pk", flat=True).iterator():
                response = {
                    "candidates": [{"content": {"parts": [{"text": answer}]}, "finishReason": "STOP"}],
                    "usageMetadata": {"promptTokenCount": 300, "candidatesTokenCount": 25},
                }
                packed.write(json.dumps({"key": str(pk), "response": response}).encode() + b"\n")
        file.seek(0)
        batch.output.save("bench.jsonl.gz", File(file))
    forget_peak(os.getpid())
    before, started = time.process_time(), time.perf_counter()
    Collector(batch, adapter_for(provider), price_list(model, timezone.localdate())).collect()
    score_results(Result.objects.filter(shard=shard), get_normalizer("basic"))
    cpu, seconds = time.process_time() - before, time.perf_counter() - started
    assert Score.objects.filter(substitutions=1).count() == lines
    print(
        f"{lines:>7} lines: {cpu:6.1f} s of CPU ({1e6 * cpu / lines:.0f} us a line), {seconds:6.1f} s, "
        f"peak {peak_mb(os.getpid()):.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    chosen = options(__doc__, few=(10_000, 50), many=(100_000, 50))
    for lines in sorted({chosen.few, chosen.many}):
        in_new_process(measure, lines)
