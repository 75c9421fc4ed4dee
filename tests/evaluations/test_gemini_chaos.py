"""A run in batches while workers are killed and every fifth call to the provider goes wrong."""

import os
import random
import signal

import psutil
import pytest

from core.queue import enqueue
from evaluations.models import Batch, Job, Result, Run
from evaluations.services import start_run
from providers.models import SpeechModel
from tests.evaluations.cluster import running_cluster
from tests.evaluations.gemini import has_ended_and_left_nothing, make_audio_dataset, make_gemini, state_of_everything
from tests.servers.gemini import GeminiServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SAMPLES = 300
KILLS = 20
LATE_KILLS = 8  # of these, while batches are submitted, collected and cleaned up after
AFTER_THE_END = 4  # of these, after the batches' end, unless the run is over first
HOUR = 3600
# The SDK repeats a chunk that is answered badly by itself, asleep: chunks are dropped instead.
OPERATIONS = ["upload_start", "file_get", "file_delete", "download", "batch_create", "batch_get", "batch_list"]
QUICK = {
    "BATCH_SHARD_SIZE": "100",
    "BATCH_POLL_SECONDS": "0.5",
    "PROVIDER_TIMEOUT_SECONDS": "3",
    "UPLOAD_CONCURRENCY": "8",
}


@pytest.fixture
def hostile():
    """A stand-in that fails one call in five: 429, 500, dropped before or after it was done, or late."""
    with GeminiServer.start(own_process=True, batch_running_seconds=HOUR) as server:
        for operation in OPERATIONS:
            server.fault(operation, "status", status=429, probability=0.05)
            server.fault(operation, "status", status=500, probability=0.05)
            server.fault(operation, "drop", effect=True, probability=0.04)
            server.fault(operation, "drop", effect=False, probability=0.04)
            server.fault(operation, "delay", seconds=1.0, probability=0.04)
        server.fault("upload_chunk", "drop", effect=True, probability=0.1)
        server.fault("upload_chunk", "drop", effect=False, probability=0.1)
        yield server


def calls(hostile):
    return sum(hostile.state()["calls"].values())


def kill_a_busy_worker(cluster, port):
    """kill -9 of one process of the cluster that talks to the provider. False where none does just now."""
    processes = psutil.Process(cluster.process.pid).children(recursive=True)
    random.shuffle(processes)
    for process in processes:
        try:
            if any(one.raddr and one.raddr.port == port for one in process.net_connections()):
                os.kill(process.pid, signal.SIGKILL)
                return True
        except (psutil.Error, ProcessLookupError):
            continue
    return False


def test_a_run_survives_killed_workers_and_a_failing_provider(workspace, hostile, tmp_path, settings):
    settings.BATCH_SHARD_SIZE = 100
    provider = make_gemini(workspace, hostile)
    flash = SpeechModel.objects.get(provider=provider, name="gemini-3.8-flash")
    pro = SpeechModel.objects.create(
        provider=provider,
        name="gemini-2.5-pro",
        upstream_name="gemini-2.5-pro",
        speech_to_text=True,
        supports_batch=True,
    )
    run = start_run(dataset=make_audio_dataset(workspace, samples=SAMPLES), models=[flash, pro], mode="batch")
    enqueue("evaluations.tasks.sweep")
    with running_cluster(tmp_path, **QUICK) as cluster:

        def kill(unless=lambda: False):
            """After some more calls: kill a worker that is at the provider."""
            enough = calls(hostile) + random.randint(1, 40)
            wait_for(lambda: calls(hostile) >= enough or unless(), state=state)
            wait_for(lambda: kill_a_busy_worker(cluster, hostile.port) or unless(), state=state)

        def state():
            return f"{state_of_everything()}\n{(tmp_path / 'cluster.log').read_text()[-2000:]}"

        for _ in range(KILLS - LATE_KILLS):
            kill()
        wait_for(Batch.objects.exclude(remote_name="").exists, state=state)
        for _ in range(LATE_KILLS - AFTER_THE_END):
            kill()
        assert not has_ended_and_left_nothing(run)  # no batch has ended yet
        hostile.settings(batch_running_seconds=1)  # of those to come
        hostile.advance(HOUR)
        for _ in range(AFTER_THE_END):
            kill(unless=lambda: has_ended_and_left_nothing(run))
        wait_for(lambda: has_ended_and_left_nothing(run), seconds=300, state=state)
    assert not set(Result.objects.filter(run=run, status="failed").values_list("reason", "error"))
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert Result.objects.filter(run=run, status="completed").count() == 2 * SAMPLES
    for job in Job.objects.filter(run=run):
        assert (job.completed, job.failed, job.cancelled, job.total) == (SAMPLES, 0, 0, SAMPLES)
        assert job.error == ""
    assert Batch.objects.filter(remote_name="").count() == 0  # each was submitted
    left = hostile.state()
    assert left["files"] == []
    assert len(left["submitted_keys"]) == 2 * SAMPLES
    assert set(left["submitted_keys"].values()) == {1}
