"""Runs through a real qcluster, which is killed in the middle."""

import os
import signal
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ

from core.models import Timer
from core.queue import enqueue, waiting
from evaluations.models import Job, Result, Run
from evaluations.services import cancel_run, start_run
from tests.evaluations.cluster import running_cluster
from tests.scripted.data import make_dataset, make_model, sha
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SAMPLES = 60


@pytest.fixture
def calls(tmp_path):
    """calls() -> [(sample's hash, process)] of every call so far, over all processes."""
    log = tmp_path / "calls.log"
    log.touch()

    def read():
        return [tuple(line.split()) for line in log.read_text().splitlines()]

    read.path = str(log)
    return read


def start(workspace, calls, *, samples=SAMPLES, **options):
    dataset = make_dataset(workspace, samples=samples)
    model = make_model(workspace, max_concurrency=4, log=calls.path, **options)
    enqueue("evaluations.tasks.sweep")
    return start_run(dataset=dataset, models=[model])


def finished(run):
    return lambda: Run.objects.get(pk=run.pk).is_finished


def assert_every_sample_completed_once(run, calls, *, lost):
    """`lost`: how often a worker died; each may have taken the calls it had under way with it."""
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert Result.objects.filter(run=run, status="completed").count() == SAMPLES
    job = Job.objects.get(run=run)
    assert (job.completed, job.failed, job.cancelled, job.total) == (SAMPLES, 0, 0, SAMPLES)
    times_called = Counter(sample for sample, _ in calls())
    assert set(times_called) == {sha(number) for number in range(SAMPLES)}
    assert sum(times_called.values()) - SAMPLES <= 4 * lost


def test_a_run_goes_through_the_queue(workspace, calls, tmp_path):
    run = start(workspace, calls)
    with running_cluster(tmp_path):
        wait_for(finished(run))
    assert_every_sample_completed_once(run, calls, lost=0)


def test_a_run_survives_the_death_of_its_worker(workspace, calls, tmp_path):
    run = start(workspace, calls, latency=0.1)
    with running_cluster(tmp_path):
        wait_for(lambda: len(calls()) > 10)
        os.kill(int(calls()[-1][1]), signal.SIGKILL)
        wait_for(finished(run))
    assert_every_sample_completed_once(run, calls, lost=1)


def test_a_dead_worker_counts_against_few_more_samples_than_it_was_calling(workspace, calls, tmp_path):
    run = start(workspace, calls, latency=0.2)
    with running_cluster(tmp_path, Q_WORKERS="1") as cluster:
        wait_for(lambda: len(calls()) > 10)
        cluster.kill()
    assert 1 <= Result.objects.filter(run=run, attempts__gt=0).pending().count() <= 8


def test_a_run_survives_the_death_of_the_whole_cluster(workspace, calls, tmp_path):
    run = start(workspace, calls, latency=0.1)
    with running_cluster(tmp_path) as cluster:
        wait_for(lambda: len(calls()) > 10)
        cluster.kill()
    assert not finished(run)()
    with running_cluster(tmp_path):
        wait_for(finished(run))
    assert_every_sample_completed_once(run, calls, lost=1)


def test_workers_that_are_killed_while_they_wait_for_work_leave_none_that_waits_for_ever(workspace, calls, tmp_path):
    with running_cluster(tmp_path, SWEEP_SECONDS="3") as cluster:
        for _ in range(2):
            begun = timezone.now()
            wait_for(lambda since=begun: swept(since) and not waiting())
            kill_all_but_the_guard(cluster)
        run = start(workspace, calls)
        wait_for(finished(run))
    assert_every_sample_completed_once(run, calls, lost=0)


def test_the_sweep_goes_on_where_it_died_with_its_worker(workspace, tmp_path):
    def lose_it():
        OrmQ.objects.update(lock=timezone.now() + timedelta(hours=1))
        return Timer.objects.filter(due_at__lt=timezone.now() - timedelta(seconds=2)).exists()

    with running_cluster(tmp_path) as cluster:
        wait_for(Timer.objects.exists)
        wait_for(lose_it)
        kill_all_but_the_guard(cluster)
        wait_for(Timer.objects.filter(due_at__gt=timezone.now()).exists)


def swept(since):
    return Timer.objects.filter(due_at__gt=since + timedelta(seconds=3)).exists()


def kill_all_but_the_guard(cluster):
    """kill -9 of the workers and of those beside them that their guard starts again."""
    [guard] = psutil.Process(cluster.process.pid).children()
    for process in guard.children():
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_sample_that_kills_its_worker_fails_alone(workspace, calls, tmp_path):
    run = start(workspace, calls, samples=20, latency=0.01, kill=[sha(7)])
    with running_cluster(tmp_path, SHARD_MAX_ATTEMPTS="3"):
        wait_for(finished(run))
    assert Run.objects.get(pk=run.pk).status == "completed_with_failures"
    failed = Result.objects.exclude(status="completed").get()
    assert (failed.sample.key, failed.status, failed.reason) == ("sample-7", "failed", "worker_lost")


def test_a_sample_that_is_never_answered_fails_alone(workspace, calls, tmp_path):
    run = start(workspace, calls, samples=10, hang=[sha(3)])
    with running_cluster(tmp_path, CALL_TIMEOUT_SECONDS="2"):
        wait_for(finished(run))
    failed = Result.objects.exclude(status="completed").get()
    assert (failed.sample.key, failed.reason) == ("sample-3", "timeout")


def test_a_long_shard_is_worked_on_in_slices(workspace, calls, tmp_path):
    run = start(workspace, calls, latency=0.2)
    with running_cluster(tmp_path, SLICE_SECONDS="1"):
        wait_for(finished(run))
    assert_every_sample_completed_once(run, calls, lost=0)


def test_a_cancelled_run_stops_calling_the_model(workspace, calls, tmp_path):
    run = start(workspace, calls, samples=200, latency=0.2)
    with running_cluster(tmp_path):
        wait_for(lambda: len(calls()) > 10)
        cancel_run(run=run)
        wait_for(lambda: was_quiet(calls), seconds=30, every=1)
    job = Job.objects.get(run=run)
    assert job.completed + job.cancelled == 200
    assert len(calls()) < 150


def was_quiet(calls, seen={}):  # noqa: B006
    before, seen["calls"] = seen.get("calls"), len(calls())
    return before == seen["calls"]
