"""Runs at a provider that speaks OpenAI's protocol, with the real SDK."""

import io
from collections import Counter
from decimal import Decimal

import pytest

from core.queue import enqueue
from datasets.services import add_audio_sample, create_dataset
from evaluations.models import Attempt, Result, Run
from evaluations.scoring.leaderboard import leaderboard
from evaluations.services import start_run
from providers.models import SpeechModel
from providers.registry import close_adapters
from providers.services import create_provider
from tests.audio import encode
from tests.evaluations.cluster import running_cluster
from tests.evaluations.gemini import finish, make_audio_dataset
from tests.servers.openai import OpenAIServer
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server():
    with OpenAIServer.start() as server:
        yield server


@pytest.fixture
def openai(server, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = True  # it is on loopback
    server.reset()
    yield server
    close_adapters()


@pytest.fixture
def models(workspace, openai):
    """The catalogue's, by name."""
    create_provider(workspace=workspace, kind="openai", name="openai", base_url=openai.url, credential="a-key")
    return {model.name: model for model in SpeechModel.objects.filter(provider__workspace=workspace)}


def reasons(run):
    return Counter(Result.objects.filter(run=run).values_list("status", "reason"))


def test_samples_are_heard_priced_and_scored(workspace, openai, models):
    dataset = make_audio_dataset(workspace, samples=6)
    openai.settings(texts=dict(dataset.samples.values_list("audio__sha256", "reference")))
    run = finish(start_run(dataset=dataset, models=[models["gpt-transcribe"]]))
    assert run.status == "completed"
    assert reasons(run) == {("completed", ""): 6}
    assert leaderboard(run).rows[0].wer == 0.0
    result = Result.objects.filter(run=run).first()
    assert result.cost_usd == Decimal("0.0045") * Decimal("0.2") / 60
    assert result.latency > 0
    assert {call.fields["language"][0] for call in openai.calls} == {"en"}


def test_files_of_every_format_get_there_in_one_that_the_model_takes(workspace, openai, models):
    dataset = create_dataset(workspace=workspace, name="files")
    for form in ("wav", "mp3", "flac", "m4a", "aac", "ogg", "opus", "webm", "aiff", "caf"):
        add_audio_sample(dataset=dataset, file=io.BytesIO(encode(form)), filename=f"{form}.{form}", reference="x")
    run = finish(start_run(dataset=dataset, models=[models["whisper-1"]]))
    assert reasons(run) == {("completed", ""): 10}
    names = Counter(call.file.name for call in openai.calls)
    assert names == {"audio.flac": 4, "audio.ogg": 2, "audio.wav": 1, "audio.mp3": 1, "audio.m4a": 1, "audio.webm": 1}


def test_a_file_over_the_models_limit_is_made_smaller(workspace, openai, models):
    openai.settings(max_file_bytes=4000)
    SpeechModel.objects.update(max_audio_bytes=4000)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[models["whisper-1"]]))
    assert reasons(run) == {("completed", ""): 2}
    assert max(call.file.size for call in openai.calls) <= 4000


def test_a_limit_of_the_provider_delays_a_sample_and_fails_none(workspace, openai, models):
    openai.fault("transcriptions", "status", status=429, code="rate_limit_exceeded", retry_after=0.2, times=2)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=3), models=[models["whisper-1"]]))
    assert reasons(run) == {("completed", ""): 3}
    assert set(Attempt.objects.values_list("reason", flat=True)) == {"rate_limited"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"status": 401, "code": "invalid_api_key"}, "invalid_credentials"), ({"status": 402}, "quota_exhausted")],
)
def test_what_the_next_call_would_meet_too_stops_the_job(workspace, openai, models, fault, reason):
    openai.fault("transcriptions", "status", **fault)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=30), models=[models["whisper-1"]]))
    assert reasons(run) == {("failed", reason): 30}
    assert len(openai.calls) < 30


@pytest.mark.slow
def test_a_run_goes_through_real_workers(workspace, openai, models, tmp_path):
    openai.settings(latency=0.05)
    run = start_run(
        dataset=make_audio_dataset(workspace, samples=40), models=[models["whisper-1"], models["gpt-transcribe"]]
    )
    enqueue("evaluations.tasks.sweep")
    with running_cluster(tmp_path, ALLOW_PRIVATE_ADDRESSES="1"):
        wait_for(lambda: Run.objects.get(pk=run.pk).is_finished)
    assert reasons(run) == {("completed", ""): 80}
    assert openai.counts == {"transcriptions": 80}
    log = (tmp_path / "cluster.log").read_text()
    assert "Traceback" not in log
    assert "Warning" not in log
