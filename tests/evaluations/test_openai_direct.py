"""Runs against the OpenAI stand-in, called by the real SDK: what it sees of a run's limits and of a refused key."""

from contextlib import ExitStack

import pytest

from core.queue import enqueue
from evaluations.models import Job, Result, Run
from evaluations.progress import run_progress
from evaluations.services import retry_failed, start_run
from providers.models import Provider, ProviderThrottle, SpeechModel
from providers.registry import close_adapters
from providers.services import update_provider
from tests.evaluations.cluster import running_cluster
from tests.evaluations.delivery import deliver_all
from tests.evaluations.gemini import make_audio_dataset
from tests.servers.openai import OpenAIServer
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server():
    with OpenAIServer.start() as server:
        yield server


@pytest.fixture
def openai(server):
    server.reset()
    yield server
    close_adapters()


def make_model(workspace, server, **limits):
    provider = Provider(
        workspace=workspace, name="self-hosted", kind="openai_compatible", base_url=server.url, **limits
    )
    provider.credential = "sk-old"
    provider.save()
    return SpeechModel.objects.create(
        provider=provider, name="whisper", upstream_name="whisper-large", speech_to_text=True
    )


def test_a_refused_key_costs_no_more_calls_than_are_made_at_once(workspace, openai, settings):
    settings.DIRECT_SHARD_SIZE = 10
    openai.settings(valid_key="sk-new", text="heard")
    model = make_model(workspace, openai, max_concurrency=4)
    run = start_run(dataset=make_audio_dataset(workspace, samples=50), models=[model])
    deliver_all()
    calls = openai.counts["transcriptions"]
    assert 1 <= calls <= 4
    job = Job.objects.get()
    assert (job.status, job.failed) == ("failed", 50)
    assert job.error
    assert set(Result.objects.values_list("reason", flat=True)) == {"invalid_credentials"}
    update_provider(provider=model.provider, credential="sk-new")
    assert retry_failed(run=run) == 50
    deliver_all()
    assert Run.objects.get().status == "completed"
    assert openai.counts["transcriptions"] == calls + 50


def test_a_server_that_comes_back_is_called_again_at_once_when_its_address_is_changed(workspace, openai, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = True
    model = make_model(workspace, openai, max_concurrency=8)
    Provider.objects.update(base_url="http://127.0.0.1:9/v1")  # nothing listens there
    run = start_run(dataset=make_audio_dataset(workspace, samples=20), models=[model])
    deliver_all()
    [job] = run_progress(Run.objects.get()).jobs
    assert (job.pending, job.failed) == (20, 0)
    assert "failed again and again" in job.waiting_for[0]
    update_provider(provider=Provider.objects.get(), base_url=openai.url, credential="sk-old")
    assert not ProviderThrottle.objects.get().openings
    assert not run_progress(Run.objects.get()).jobs[0].waiting_for
    wait_for(lambda: deliver_all() or Run.objects.get(pk=run.pk).is_finished)
    assert Run.objects.get().status == "completed"


@pytest.mark.slow
def test_two_clusters_keep_to_one_limit_as_the_provider_sees_it(workspace, openai, settings, tmp_path):
    settings.DIRECT_SHARD_SIZE = 20
    openai.settings(latency=0.25, text="heard")
    model = make_model(workspace, openai, max_concurrency=5, requests_per_minute=1800)
    enqueue("evaluations.tasks.sweep")
    run = start_run(dataset=make_audio_dataset(workspace, samples=100), models=[model])
    (tmp_path / "other").mkdir()
    with ExitStack() as stack:
        for folder in (tmp_path, tmp_path / "other"):
            stack.enter_context(running_cluster(folder, Q_WORKERS="1"))
        wait_for(lambda: Run.objects.get(pk=run.pk).is_finished)
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert openai.counts == {"transcriptions": 100}
    assert openai.most_at_once == 5
    times = sorted(call.when for call in openai.calls)
    for first, when in enumerate(times):
        assert sum(1 for other in times[first:] if other < when + 1) <= 30 + 30  # 30 a second, up to a second late
