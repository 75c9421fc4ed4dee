"""Two real clusters, as on two machines, at one provider: its limits hold for both of them together."""

import json
import signal
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import psutil
import pytest
from django.core.management import call_command

from accounts.models import Organization, Workspace
from core.queue import enqueue
from evaluations.models import Job, Result, Run
from evaluations.progress import run_progress
from evaluations.services import start_run
from providers.models import Provider
from tests.evaluations.cluster import running_cluster
from tests.scripted.data import make_dataset, make_model
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clusters(django_db_setup, django_db_blocker, tmp_path_factory):
    """`both` of them, a worker each, for all tests here; `start()` starts one more."""
    with django_db_blocker.unblock(), ExitStack() as stack:

        def start():
            return stack.enter_context(running_cluster(tmp_path_factory.mktemp("cluster"), Q_WORKERS="1"))

        stack.callback(call_command, "flush", interactive=False, verbosity=0, reset_sequences=False)
        both = [start(), start()]
        for cluster in both:
            wait_for(partial(is_up, psutil.Process(cluster.process.pid)))
        yield SimpleNamespace(both=both, start=start)


def is_up(process):
    """Whether there are a guard, a worker, what feeds it and what watches it."""
    return len(process.children(recursive=True)) >= 4


@pytest.fixture
def workspace(clusters):
    """One that is committed, where clusters see it."""
    slug = f"limits-{time.time_ns()}"
    organization = Organization.objects.create(name=slug)
    return Workspace.objects.create(organization=organization, name="Limits", slug=slug)


@pytest.fixture
def journal(tmp_path):
    """journal() -> [(time, "start" or "end", process, sample)] over all processes, in order."""
    path = tmp_path / "journal"
    path.touch()

    def read():
        lines = [line.split() for line in path.read_text().splitlines()]
        return sorted((float(when), what, process, sample) for when, what, process, sample in lines)

    read.path = str(path)
    return read


@pytest.fixture
def start(workspace, settings):
    """start(*models, samples) -> a run of shards so small that both clusters have some."""
    settings.DIRECT_SHARD_SIZE = 10

    def start(*models, samples):
        enqueue("evaluations.tasks.sweep")
        return start_run(dataset=make_dataset(workspace, samples=samples), models=list(models))

    return start


def finished(run):
    return lambda: Run.objects.get(pk=run.pk).is_finished


def is_completed(run):
    wait_for(finished(run))
    return Run.objects.get(pk=run.pk).status == "completed"


def change(model, **limits):
    Provider.objects.filter(pk=model.provider_id).update(**limits)


def starts(journal):
    return [when for when, what, _, _ in journal() if what == "start"]


def by_process(journal):
    return Counter(process for _, what, process, _ in journal() if what == "start")


def most_at_once(journal, since=0.0):
    most = now = 0
    for when, what, _, _ in journal():
        now += 1 if what == "start" else -1
        most = max(most, now if when >= since else 0)
    return most


def test_calls_at_once_hold_for_both_clusters_and_both_get_their_share(workspace, journal, start):
    model = make_model(workspace, max_concurrency=6, latency=0.2, journal=journal.path)
    assert is_completed(start(model, samples=90))
    assert most_at_once(journal) == 6
    counts = by_process(journal)
    assert sum(counts.values()) == 90
    assert len(counts) == 2
    assert min(counts.values()) >= 20


def test_calls_a_minute_hold_for_both_clusters(workspace, journal, start):
    model = make_model(workspace, max_concurrency=50, latency=0.01, journal=journal.path)
    change(model, requests_per_minute=600)
    assert is_completed(start(model, samples=50))
    times = starts(journal)
    assert len(times) == 50
    # Ten a second; a call may begin a little later than its turn, not earlier.
    for first, when in enumerate(times):
        assert sum(1 for other in times[first:] if other < when + 2) <= 20 + 10
    assert times[-1] - times[0] > 3.8


def test_a_lower_limit_holds_while_the_run_goes_on(workspace, journal, start):
    model = make_model(workspace, max_concurrency=8, latency=0.2, journal=journal.path)
    run = start(model, samples=60)
    wait_for(lambda: len(starts(journal)) > 16, every=0.02)
    change(model, max_concurrency=2)
    lowered_at = starts(journal)[-1]
    assert is_completed(run)
    assert most_at_once(journal) == 8
    assert most_at_once(journal, since=lowered_at + 2) == 2


def fail_calls(tmp_path, **fault):
    path = tmp_path / "fault"
    path.with_suffix(".new").write_text(json.dumps({"retryable": True, **fault}))
    path.with_suffix(".new").rename(path)
    return path


def test_a_pause_that_the_provider_asks_for_holds_for_both_clusters(workspace, journal, start, tmp_path):
    fault = tmp_path / "fault"
    model = make_model(workspace, max_concurrency=8, latency=0.1, journal=journal.path, fault=str(fault))
    run = start(model, samples=60)
    wait_for(lambda: len(starts(journal)) > 20, every=0.02)
    fail_calls(tmp_path, reason="rate_limited", status=429, retry_after=2.5, message="429: slow down")
    wait_for(
        lambda: any("429: slow down" in why for job in run_progress(run).jobs for why in job.waiting_for), every=0.02
    )
    fault.unlink()
    assert is_completed(run)
    assert longest_silence(journal) > 2
    refused = Result.objects.filter(run=run, calls=2)
    assert 0 < refused.count() <= 24  # those under way, of either cluster
    assert {attempt.reason for result in refused for attempt in result.failed_attempts.all()} == {"rate_limited"}


def longest_silence(journal):
    times = starts(journal)
    return max(after - before for before, after in pairwise(times))


def test_a_provider_that_is_down_is_left_alone_and_the_other_goes_on(workspace, journal, start, tmp_path):
    fault = fail_calls(tmp_path, reason="provider_error", status=503, message="503: down for maintenance")
    down = make_model(workspace, provider="down", max_concurrency=8, journal=journal.path, fault=str(fault))
    well = make_model(workspace, provider="well", max_concurrency=8, latency=0.1)
    run = start(down, well, samples=40)
    wait_for(lambda: not Result.objects.filter(job__model=well).pending().exists())
    progress = {job.name: job for job in run_progress(run).jobs}
    assert progress["well/model"].completed == 40
    assert progress["down/model"].pending == 40
    [why] = progress["down/model"].waiting_for
    assert "503: down for maintenance" in why
    assert len(starts(journal)) < 40  # those that opened the circuit, and a probe now and then
    fault.unlink()
    assert is_completed(run)
    assert Job.objects.get(model=down).completed == 40


def test_a_cluster_that_is_stopped_in_good_order_takes_nothing_with_it(workspace, journal, start, clusters):
    model = make_model(workspace, max_concurrency=4, latency=0.3, journal=journal.path)
    run = start(model, samples=50)
    wait_for(lambda: len(by_process(journal)) == 2, every=0.02)
    stopped = clusters.both.pop()
    stopped.process.send_signal(signal.SIGTERM)
    stopped.process.wait(timeout=60)
    clusters.both.append(clusters.start())
    pending = Result.objects.filter(run=run).pending()
    assert pending.exists()
    assert is_completed(run)
    assert len(starts(journal)) == 50
    assert not Result.objects.filter(run=run).exclude(calls=1, attempts=1).exists()
