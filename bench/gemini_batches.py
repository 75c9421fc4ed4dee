"""The whole way of a batch run beside the plain pattern, against the stand-in: samples a second and memory.

    python -m bench.gemini_batches                     # CASES, three rounds: the medians count
    python -m bench.gemini_batches --rounds 5

The plain pattern: read each object whole, upload with a pool of 10 threads, one batch, read the result file whole,
insert rows by 200, score each row by itself, delete one file after another. Both do the same work on the same stand-in
(a process of its own), one after the other, each in a fresh process that has loaded the SDK before the clock starts;
ours by a real qcluster of two workers, which have done a small run before. Time is from the start of the run until no
file is left at the provider; "visible" is when all results are stored and scored. "calls" is what ours costs in
uploads and deletes alone, by as many processes and threads.
"""

import hashlib
import io
import json
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bench.measure import (
    children,
    cpu_seconds,
    in_new_process,
    migrate,
    options,
    peak_mb,
    setup_django,
    working_cluster,
)

WARM = 200  # samples: enough for both workers


@dataclass
class Case:
    samples: int
    kb: int = 32  # of audio a sample
    storage: float = 0.0  # seconds until a file is open
    provider: float = 0.0  # seconds until it answers
    at_once: int = 4  # uploads


CASES = (
    Case(500),
    Case(5000),
    Case(500, storage=0.03, provider=0.15, at_once=40),
    Case(50),
    Case(50, kb=8192),  # for the memory
)
SMALL = (Case(10, storage=0.001, provider=0.001),)


def make_model(server):
    """In a new database."""
    from accounts.services import ensure_workspace
    from providers.models import SpeechModel
    from tests.evaluations.gemini import make_gemini

    provider = make_gemini(ensure_workspace(slug="bench", name="Bench"), server)
    return SpeechModel.objects.get(provider=provider, name="gemini-3.8-flash")


def make_dataset(workspace, name, numbers, size):
    """Its audio in the media folder, other audio for each number."""
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
    from evaluations.models import Run, Upload
    from evaluations.services import start_run
    from tests.waiting import wait_for

    with working_cluster() as cluster:
        run = start_run(dataset=warm, models=[model])
        wait_for(lambda: not Upload.objects.alive().exists() and Run.objects.get().is_finished, seconds=600)
        before, started = cpu_seconds(cluster), time.perf_counter()
        run = start_run(dataset=dataset, models=[model])
        wait_for(lambda: Run.objects.get(pk=run.pk).is_finished, seconds=1800, every=0.02)
        visible = time.perf_counter() - started
        wait_for(lambda: not Upload.objects.alive().filter(run=run).exists(), seconds=1800, every=0.02)
        seconds = time.perf_counter() - started
        cpu = cpu_seconds(cluster) - before
        peak = max(peak_mb(pid) for pid in children(cluster))
    check(run, dataset)
    return {"seconds": seconds, "visible": visible, "cpu": cpu, "peak_mb": peak}


def check(run, dataset):
    """Every sample has been transcribed, and scored."""
    from evaluations.models import Result

    assert Result.objects.filter(run=run, status="completed", scores__wer=0).count() == dataset.samples.count()


def plain(dataset, warm, model, server):
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
    check(run, dataset)
    return {"seconds": seconds, "visible": visible, "cpu": cpu, "peak_mb": peak_mb(os.getpid())}


def calls(dataset, warm, model, server):
    """Nothing but the uploads and deletes, made as ours makes them, by as many processes and threads."""
    from django.conf import settings

    folder = str(Path(settings.MEDIA_ROOT) / "audio")
    numbers = [int(key) for key in dataset.samples.values_list("key", flat=True)]
    count, threads = settings.Q_CLUSTER["workers"], settings.UPLOAD_CONCURRENCY
    context = get_context("spawn")
    ready = (context.Barrier(count),)
    with ProcessPoolExecutor(count, mp_context=context, initializer=load_sdk, initargs=ready) as workers:
        parts = [
            workers.submit(upload_and_delete, folder, server.base_url, numbers[first::count], threads)
            for first in range(count)
        ]
        return {"cpu": sum(part.result() for part in parts)}


def load_sdk(ready):
    """Loads it, in each of the processes, before one of them begins."""
    from providers.adapters.gemini.sdk import genai

    genai()
    ready.wait()


def upload_and_delete(folder, base_url, numbers, at_once):
    """CPU seconds that it takes."""
    from providers.adapters.base import ProviderConfig
    from providers.adapters.gemini import GeminiAdapter
    from tests.servers.gemini import API_KEY

    adapter = GeminiAdapter(ProviderConfig(kind="gemini", name="bench", base_url=base_url, credential=API_KEY))

    def one(number):
        path = Path(folder, f"{number}.wav")
        with path.open("rb") as stream:
            adapter.upload_file(f"bench-{number}", stream, path.stat().st_size, "audio/wav")
        adapter.delete_file(f"bench-{number}")

    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(one, numbers[:20]))  # connections are made
        cpu = time.process_time()
        list(threads.map(one, numbers))
    return time.process_time() - cpu


def measure(way, case, warm):
    """In a process of its own: seconds, CPU seconds and peak memory (of the worker with the most)."""
    setup_django(
        BATCH_POLL_SECONDS="0.2",
        BATCH_SHARD_SIZE="5000",
        UPLOAD_CONCURRENCY=str(case.at_once),
        BENCH_STORAGE_SECONDS=str(case.storage),
    )
    migrate()
    from tests.servers.gemini import GeminiServer

    with GeminiServer.start(own_process=True, max_project_bytes=10**15) as server:
        model = make_model(server)
        workspace, size = model.provider.workspace, case.kb * 1024
        dataset = make_dataset(workspace, "bench", range(case.samples), size)
        warm = make_dataset(workspace, "warm", range(case.samples, case.samples + warm), size)
        server.settings(latency_seconds=case.provider)
        return way(dataset, warm, model, server)


def main(cases, warm, rounds):
    for case in cases:
        print(case, flush=True)
        got = {way: [] for way in (ours, plain, calls)}
        for _ in range(rounds):
            for way in got:
                found = in_new_process(measure, way, case, warm)
                got[way].append(found)
                report(way.__name__, found, case.samples)
        compare(case.samples, *got.values())


def report(name, found, samples):
    each = f"{1000 * found['cpu'] / samples:6.2f} ms of CPU a sample"
    if "seconds" in found:
        each = (
            f"{samples / found['seconds']:7.1f} samples/s, results visible after {found['visible']:6.1f} s, {each}, "
            f"peak {found['peak_mb']:.0f} MB"
        )
    print(f"{name:>6}: {each}", flush=True)


def compare(samples, ours, plain, calls):
    """Print what the medians of all rounds say."""
    seconds, plain_seconds = (statistics.median(each["seconds"] for each in way) for way in (ours, plain))
    cost, calls_cost = (1000 * statistics.median(each["cpu"] for each in way) / samples for way in (ours, calls))
    print(
        f"        {plain_seconds / seconds:.2f} x the plain pattern; of ours, uploads and deletes cost "
        f"{calls_cost:.2f} ms of CPU a sample, the rest {cost - calls_cost:.2f} ms (medians of {len(ours)})",
        flush=True,
    )


if __name__ == "__main__":
    chosen = options(__doc__, rounds=(3, 1))
    main(SMALL if chosen.small else CASES, 10 if chosen.small else WARM, chosen.rounds)
