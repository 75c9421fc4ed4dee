"""The whole way of a batch run beside the plain pattern, against the stand-in: samples a second and memory.

    python bench/gemini_batches.py                     # 500 and 5,000 samples at zero latency
    python bench/gemini_batches.py --latency           # 30 ms storage, 150 ms provider, 40 uploads at once
    python bench/gemini_batches.py --samples 50 --kb 8192
    python bench/gemini_batches.py --rounds 5          # more often, alternately: the median counts

The plain pattern: read each object whole, upload with a pool of 10 threads, one batch, read the result file whole,
insert rows by 200, score each row by itself, delete one file after another. Both do the same work on the same stand-in
(a process of its own), one after the other, each in a fresh process that has loaded the SDK before the clock starts;
ours by a real qcluster of two workers, which have done a small run before. Time is from the start of the run until no
file is left at the provider; "visible" is when all results are stored and scored. "calls" is what ours costs in
uploads and deletes alone, by as many processes and threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WARM = 200  # samples: enough for both workers


def setup_django(folder):
    os.environ.update(
        DJANGO_SETTINGS_MODULE="tests.settings",
        DATABASE_URL=os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3"),
        MEDIA_ROOT=f"{folder}/media",
        LOG_LEVEL="WARNING",
        BATCH_POLL_SECONDS="0.2",
        BATCH_SHARD_SIZE="5000",
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def make_model(server):
    """In a new database."""
    from accounts.services import ensure_workspace
    from providers.models import SpeechModel
    from tests.evaluations.gemini import make_gemini

    provider = make_gemini(ensure_workspace(slug="bench", name="Bench"), server)
    return SpeechModel.objects.get(provider=provider, name="gemini-3.8-flash")


def make_dataset(workspace, name, numbers, size):
    """Its audio in the media folder, other audio for each number."""
    import hashlib

    from django.conf import settings

    from datasets.models import Audio, Dataset, Sample
    from tests.servers.gemini import words_for

    dataset = Dataset.objects.create(workspace=workspace, name=name)
    folder = Path(settings.MEDIA_ROOT) / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    hashes = []
    for number in numbers:
        data = number.to_bytes(8, "little") * (size // 8)
        (folder / f"{number}.wav").write_bytes(data)
        hashes.append(hashlib.sha256(data).hexdigest())
    audio = Audio.objects.bulk_create(
        Audio(
            workspace=workspace,
            sha256=sha,
            file=f"audio/{number}.wav",
            size=size // 8 * 8,
            container="wav",
            codec="pcm_s16le",
            mime_type="audio/wav",
            duration=1.0,
            sample_rate=16000,
            channels=1,
            peaks=b"\x00",
        )
        for number, sha in zip(numbers, hashes, strict=True)
    )
    Sample.objects.bulk_create(
        Sample(dataset=dataset, key=str(number), audio=one, reference=words_for(sha))
        for number, one, sha in zip(numbers, audio, hashes, strict=True)
    )
    return dataset


def ours(dataset, warm, model, server):
    """By a real qcluster with two workers, started before the clock is, that have run `warm`."""
    import psutil

    from core.queue import enqueue, waiting
    from evaluations.models import Result, Run, Timer, Upload
    from evaluations.services import start_run
    from tests.evaluations.cluster import running_cluster, wait_for

    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as cluster:
        enqueue("evaluations.tasks.sweep")
        wait_for(lambda: Timer.objects.exists() and not waiting(), seconds=60)  # a worker has done something
        run = start_run(dataset=warm, models=[model])
        wait_for(lambda: not Upload.objects.alive().exists() and Run.objects.get().is_finished, seconds=600)
        processes = psutil.Process(cluster.process.pid).children(recursive=True)
        before = cpu_of(processes)
        started = time.perf_counter()
        run = start_run(dataset=dataset, models=[model])
        wait_for(lambda: Run.objects.get(pk=run.pk).is_finished, seconds=1800, every=0.02)
        visible = time.perf_counter() - started
        wait_for(lambda: not Upload.objects.alive().filter(run=run).exists(), seconds=1800, every=0.02)
        seconds = time.perf_counter() - started
        cpu = cpu_of(processes) - before
        peak = max(peak_mb(process.pid) for process in processes)
    assert Result.objects.filter(run=run, status="completed", scores__wer=0).count() == dataset.samples.count()
    return {"seconds": seconds, "visible": visible, "cpu": cpu, "peak_mb": peak}


def cpu_of(processes):
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def peak_mb(pid):
    """The most memory that the process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if "VmHWM" in line).split()[1]) / 1024


def plain(dataset, warm, model, server):
    from concurrent.futures import ThreadPoolExecutor

    import jiwer
    from google import genai
    from google.genai import types

    from evaluations.models import Job, Result, Run, Score, Shard
    from tests.servers.gemini import API_KEY

    begun, cpu = time.perf_counter(), time.process_time()
    client = genai.Client(
        vertexai=False, api_key=API_KEY, http_options=types.HttpOptions(base_url=server.base_url, api_version="v1beta")
    )
    run = Run.objects.create(
        workspace=dataset.workspace, dataset=dataset, name="p", normalizer="x", normalizer_version=1
    )
    job = Job.objects.create(run=run, model=model, model_name="m", total=0)
    shard = Shard.objects.create(job=job, index=0)
    samples = list(dataset.samples.select_related("audio"))

    def upload(sample):
        import io

        with sample.audio.file.open("rb") as stream:
            data = io.BytesIO(stream.read())
        return client.files.upload(file=data, config=types.UploadFileConfig(mime_type="audio/wav"))

    with ThreadPoolExecutor(10) as pool:
        files = list(pool.map(upload, samples))
    requests = "".join(
        json.dumps(
            {
                "key": str(sample.pk),
                "request": {
                    "contents": [
                        {
                            "role": "user",
                            "parts": [
                                {"text": "Transcribe."},
                                {"fileData": {"fileUri": file.uri, "mimeType": "audio/wav"}},
                            ],
                        }
                    ]
                },
            }
        )
        + "\n"
        for sample, file in zip(samples, files, strict=True)
    )
    import io

    source = client.files.upload(
        file=io.BytesIO(requests.encode()), config=types.UploadFileConfig(mime_type="application/json")
    )
    batch = client.batches.create(model=model.upstream_name, src=source.name, config={"display_name": "plain"})
    while not batch.done:
        time.sleep(0.2)
        batch = client.batches.get(name=batch.name)
    lines = client.files.download(file=batch.dest.file_name).decode().splitlines()
    answers = {}
    for line in lines:
        entry = json.loads(line)
        answers[int(entry["key"])] = entry["response"]["candidates"][0]["content"]["parts"][0]["text"]
    rows = [
        Result(
            workspace=dataset.workspace,
            run=run,
            job=job,
            shard=shard,
            sample=sample,
            status="completed",
            hypothesis=answers[sample.pk],
        )
        for sample in samples
    ]
    for start in range(0, len(rows), 200):
        Result.objects.bulk_create(rows[start : start + 200])
    for row in rows:
        words = jiwer.process_words(row.sample.reference, row.hypothesis)
        characters = jiwer.process_characters(row.sample.reference, row.hypothesis)
        Score.objects.create(
            result=row,
            job=job,
            normalizer="x",
            normalizer_version=1,
            reference_revision=1,
            reference_empty=False,
            hits=words.hits,
            substitutions=words.substitutions,
            deletions=words.deletions,
            insertions=words.insertions,
            reference_words=words.hits,
            character_errors=0,
            reference_characters=characters.hits,
            wer=words.wer,
        )
    visible = time.perf_counter() - begun
    for file in [*files, source]:
        client.files.delete(name=file.name)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"seconds": seconds, "visible": visible, "cpu": cpu, "peak_mb": peak_mb("self")}


def calls(dataset, warm, model, server):
    """Nothing but the uploads and deletes, made as ours makes them, by as many processes and threads."""
    from django.conf import settings

    folder = str(Path(settings.MEDIA_ROOT) / "audio")
    numbers = [int(key) for key in dataset.samples.values_list("key", flat=True)]
    count, threads = settings.Q_CLUSTER["workers"], settings.UPLOAD_CONCURRENCY
    asked = [json.dumps([folder, server.base_url, numbers[first::count], threads]) for first in range(count)]
    command = [sys.executable, __file__, "--calls-worker"]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in asked]
    for worker in workers:
        worker.stdout.readline()  # it has loaded the SDK
    for worker, line in zip(workers, asked, strict=True):
        worker.stdin.write(line + "\n")
        worker.stdin.flush()
    return {"cpu": sum(float(worker.communicate()[0]) for worker in workers)}


def calls_worker():
    from concurrent.futures import ThreadPoolExecutor

    from providers.adapters.base import ProviderConfig
    from providers.adapters.gemini import GeminiAdapter
    from providers.adapters.gemini.sdk import genai
    from tests.servers.gemini import API_KEY

    genai()
    print("ready", flush=True)
    folder, base_url, numbers, at_once = json.loads(sys.stdin.readline())
    adapter = GeminiAdapter(ProviderConfig(kind="gemini", name="bench", base_url=base_url, credential=API_KEY))

    def upload_and_delete(number):
        path = Path(folder, f"{number}.wav")
        with path.open("rb") as stream:
            adapter.upload_file(f"bench-{number}", stream, path.stat().st_size, "audio/wav")
        adapter.delete_file(f"bench-{number}")

    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(upload_and_delete, numbers[:20]))  # connections are made
        cpu = time.process_time()
        list(threads.map(upload_and_delete, numbers))
    print(time.process_time() - cpu)


def measure(way, samples, size, provider_seconds):
    """In a process of its own: seconds, CPU seconds and peak memory (of the worker with the most)."""
    from tests.servers.gemini import GeminiServer

    with tempfile.TemporaryDirectory(prefix="earshot-bench-") as folder:
        setup_django(folder)
        with GeminiServer.start(own_process=True, max_project_bytes=10**15) as server:
            model = make_model(server)
            dataset = make_dataset(model.provider.workspace, "bench", range(samples), size)
            warm = make_dataset(model.provider.workspace, "warm", range(samples, samples + WARM), size)
            server.settings(latency_seconds=provider_seconds)
            print(json.dumps({"ours": ours, "plain": plain, "calls": calls}[way](dataset, warm, model, server)))


def run_one(way, samples, size, storage_seconds, provider_seconds, at_once):
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, str(samples), str(size), str(provider_seconds)],
        env={**os.environ, "UPLOAD_CONCURRENCY": str(at_once), "BENCH_STORAGE_SECONDS": str(storage_seconds)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    got = json.loads(done.stdout.splitlines()[-1])
    each = 1000 * got["cpu"] / samples
    if way == "calls":
        print(f" calls  {samples:>6} x {size // 1024:>5} KB: {each:6.2f} ms of CPU a sample", flush=True)
        return 0.0, each
    print(
        f"{way:>6}  {samples:>6} x {size // 1024:>5} KB: {samples / got['seconds']:7.1f} samples/s, "
        f"results visible after {got['visible']:6.1f} s, "
        f"{each:6.2f} ms of CPU a sample, peak {got['peak_mb']:.0f} MB",
        flush=True,
    )
    return samples / got["seconds"], each


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", nargs=4)
    parser.add_argument("--calls-worker", action="store_true")
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--samples", type=int, nargs="*", default=[500, 5000])
    parser.add_argument("--kb", type=int, default=32)
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    if options.calls_worker:
        calls_worker()
        return
    if options.one:
        way, samples, size, provider = options.one
        measure(way, int(samples), int(size), float(provider))
        return
    storage, provider, at_once = (0.03, 0.15, 40) if options.latency else (0.0, 0.0, 4)
    ways = ["ours"] if options.only_ours else ["ours", "plain", "calls"]
    for samples in options.samples:
        got = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                got[way].append(run_one(way, samples, options.kb * 1024, storage, provider, at_once))
        if not options.only_ours:
            compare(got)


def compare(got):
    """Prints the medians of rates and costs: {way: [(samples a second, ms of CPU a sample), ...]}."""
    rates, costs = ({way: statistics.median(one[i] for one in got[way]) for way in got} for i in (0, 1))
    print(
        f"        {rates['ours'] / rates['plain']:.2f} x the plain pattern; of ours, uploads and deletes cost "
        f"{costs['calls']:.2f} ms of CPU a sample, the rest {costs['ours'] - costs['calls']:.2f} ms "
        f"(medians of {len(got['ours'])})"
    )


if __name__ == "__main__":
    main()
