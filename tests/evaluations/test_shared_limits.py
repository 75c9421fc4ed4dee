"""Two real clusters, as on two machines, at one provider: its limits hold for both of them together."""

import json
import signal
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise

import pytest

from config.queue import enqueue
from evaluations.models import Job, Result, Run
from evaluations.progress import run_progress
from evaluations.services import start_run
from providers.models import Provider
from tests.evaluations.cluster import running_cluster, wait_for
from tests.scripted.data import make_dataset, make_model

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


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
def two_clusters(tmp_path):
    """two_clusters(**environment) starts them, a worker each; they end with the test."""
    with ExitStack() as stack:

        def start(**environment):
            (tmp_path / "other").mkdir()
            folders = [tmp_path, tmp_path / "other"]
            return [stack.enter_context(running_cluster(f, Q_WORKERS="1", **environment)) for f in folders]

        yield start


def start(workspace, model, samples, settings):
    settings.DIRECT_SHARD_SIZE = 20
    enqueue("evaluations.tasks.sweep")
    return start_run(dataset=make_dataset(workspace, samples=samples), models=[model])


def finished(run):
    return lambda: Run.objects.get(pk=run.pk).is_finished


def starts(journal):
    return [when for when, what, _, _ in journal() if what == "start"]


def most_at_once(journal, since=0.0):
    most = now = 0
    for when, what, _, _ in journal():
        now += 1 if what == "start" else -1
        most = max(most, now if when >= since else 0)
    return most


def test_calls_at_once_hold_for_both_clusters_and_both_get_their_share(workspace, journal, two_clusters, settings):
    model = make_model(workspace, max_concurrency=6, latency=0.3, journal=journal.path)
    run = start(workspace, model, 120, settings)
    two_clusters()
    wait_for(finished(run))
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert most_at_once(journal) == 6
    by_process = Counter(process for _, what, process, _ in journal() if what == "start")
    assert sum(by_process.values()) == 120
    assert len(by_process) == 2
    assert min(by_process.values()) > 24


def test_calls_a_minute_hold_for_both_clusters(workspace, journal, two_clusters, settings):
    model = make_model(workspace, max_concurrency=50, latency=0.01, journal=journal.path)
    Provider.objects.update(requests_per_minute=600)
    run = start(workspace, model, 80, settings)
    two_clusters()
    wait_for(finished(run))
    times = starts(journal)
    assert len(times) == 80
    # Ten a second; a call may begin a little later than its turn, not earlier.
    for first, when in enumerate(times):
        assert sum(1 for other in times[first:] if other < when + 3) <= 30 + 10
    assert times[-1] - times[0] > 6.5


def test_a_lower_limit_holds_while_the_run_goes_on(workspace, journal, two_clusters, settings):
    model = make_model(workspace, max_concurrency=8, latency=0.2, journal=journal.path)
    run = start(workspace, model, 100, settings)
    two_clusters()
    wait_for(lambda: len(starts(journal)) > 16)
    Provider.objects.update(max_concurrency=2)
    lowered_at = starts(journal)[-1]
    wait_for(finished(run))
    assert most_at_once(journal) == 8
    assert most_at_once(journal, since=lowered_at + 3) == 2


def fail_calls(tmp_path, **fault):
    path = tmp_path / "fault"
    path.with_suffix(".new").write_text(json.dumps({"retryable": True, **fault}))
    path.with_suffix(".new").rename(path)
    return path


def test_a_pause_that_the_provider_asks_for_holds_for_both_clusters(
    workspace, journal, two_clusters, settings, tmp_path
):
    fault = tmp_path / "fault"
    model = make_model(workspace, max_concurrency=8, latency=0.1, journal=journal.path, fault=str(fault))
    run = start(workspace, model, 120, settings)
    two_clusters()
    wait_for(lambda: len(starts(journal)) > 20)
    fail_calls(tmp_path, reason="rate_limited", status=429, retry_after=4, message="429: slow down")
    wait_for(lambda: any("429: slow down" in why for job in run_progress(run).jobs for why in job.waiting_for))
    fault.unlink()
    wait_for(finished(run))
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert longest_silence(journal) > 3
    refused = Result.objects.filter(calls=2)
    assert 0 < refused.count() <= 24  # those under way, of either cluster
    assert {attempt.reason for result in refused for attempt in result.failed_attempts.all()} == {"rate_limited"}


def longest_silence(journal):
    times = starts(journal)
    return max(after - before for before, after in pairwise(times))


def test_a_provider_that_is_down_is_left_alone_and_the_other_goes_on(
    workspace, journal, two_clusters, settings, tmp_path
):
    fault = fail_calls(tmp_path, reason="provider_error", status=503, message="503: down for maintenance")
    down = make_model(workspace, provider="down", max_concurrency=8, journal=journal.path, fault=str(fault))
    well = make_model(workspace, provider="well", max_concurrency=8, latency=0.1)
    settings.DIRECT_SHARD_SIZE = 20
    enqueue("evaluations.tasks.sweep")
    run = start_run(dataset=make_dataset(workspace, samples=100), models=[down, well])
    two_clusters()
    wait_for(lambda: not Result.objects.filter(job__model=well).pending().exists())
    progress = {job.name: job for job in run_progress(run).jobs}
    assert progress["well/model"].completed == 100
    assert progress["down/model"].pending == 100
    [why] = progress["down/model"].waiting_for
    assert "503: down for maintenance" in why
    assert len(starts(journal)) < 40  # those that opened the circuit, and a probe now and then
    fault.unlink()
    wait_for(finished(run), seconds=90)
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert Job.objects.get(model=down).completed == 100


def test_a_cluster_that_is_stopped_in_good_order_takes_nothing_with_it(workspace, journal, settings, tmp_path):
    model = make_model(workspace, max_concurrency=4, latency=0.3, journal=journal.path)
    run = start(workspace, model, 60, settings)
    with running_cluster(tmp_path) as cluster:
        wait_for(lambda: len(starts(journal)) > 10)
        cluster.process.send_signal(signal.SIGTERM)
        cluster.process.wait(timeout=20)
    pending = Result.objects.filter(run=run).pending()
    assert pending.exists()
    assert not pending.exclude(attempts=0).exists()
    with running_cluster(tmp_path):
        wait_for(finished(run))
    assert len(starts(journal)) == 60
