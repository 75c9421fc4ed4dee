"""Nothing private is logged: whole runs through real processes at the most talkative level, full of failures."""

import hashlib
from contextlib import ExitStack

import httpx
import pytest
from django.conf import settings as site_settings
from django.core.files.storage import default_storage
from django.test import Client

from accounts.services import create_api_key
from datasets.models import Sample
from evaluations.models import Batch, Result
from evaluations.services import start_run
from providers.models import Provider, SpeechModel
from providers.registry import close_adapters
from tests.evaluations.cluster import running_cluster
from tests.evaluations.gemini import finish, has_ended_and_left_nothing, make_audio_dataset, make_gemini, tone
from tests.evaluations.site import served_site
from tests.servers.gemini import GeminiServer
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CANARY = "quokka"  # part of everything that is private
SAMPLES = 12
TALKATIVE = {
    "LOG_LEVEL": "DEBUG",
    "BATCH_POLL_SECONDS": "0.2",
    "PROVIDER_TIMEOUT_SECONDS": "3",
    "ALLOW_PRIVATE_ADDRESSES": "1",
}


LOGGED = [
    "failed bad_json",
    "batch submitted, 10 samples",
    "batch is ended",
    "files deleted, 0 not",
    "again in",
    "done, {",
]


@pytest.fixture
def gemini():
    with GeminiServer.start(own_process=True, api_key=f"{CANARY}-key") as server:
        server.answers({hashlib.sha256(tone(n)).hexdigest(): f"{CANARY}transcript number {n}" for n in range(SAMPLES)})
        yield server


@pytest.fixture
def flash(workspace, gemini):
    provider = make_gemini(workspace, gemini)
    provider.credential = f"{CANARY}-key"
    provider.save()
    return SpeechModel.objects.get(provider=provider, name="gemini-3.8-flash")


@pytest.fixture
def dataset(workspace):
    dataset = make_audio_dataset(workspace, samples=SAMPLES)
    for sample in dataset.samples.all():
        sample.key, sample.reference = f"{CANARY}-{sample.key}.wav", f"{CANARY}reference {sample.pk}"
        sample.tags = {"who": f"{CANARY}tag"}
        sample.save()
    return dataset


def start(dataset, flash, gemini, mode):
    """A run with a fault of nearly every kind before it."""
    said = f"{CANARY} in the provider's own words"
    if mode == "batch":
        gemini.fault("line", "bad_json", indices=[0])
        gemini.fault("line", "error", indices=[1], message=said)
        gemini.fault("line", "max_tokens", indices=[2])
        gemini.fault("line", "neither", indices=[3])
        gemini.fault("line", "unknown_key", indices=[4])
        gemini.fault("batch_get", "garbage", times=1)
        gemini.fault("download", "cut", times=1)
        gemini.fault("file", "FAILED", times=1)
    else:
        gemini.fault("answer", "error", times=1, status=400, message=said)
        gemini.fault("answer", "blocked_safety", times=1)
        gemini.fault("answer", "max_tokens", times=1)
        gemini.fault("generate", "garbage", times=1)
        gemini.fault("generate", "drop", times=1)
    for operation in ("upload_start", "batch_create", "batch_get", "generate", "file_delete"):
        gemini.fault(operation, "status", status=500, message=said, times=2)
    return start_run(dataset=dataset, models=[flash], mode=mode, prompt=f"{CANARY}prompt", name=f"{CANARY}run")


def lose_one_audio(dataset):
    """A stored file that is gone."""
    default_storage.delete(dataset.samples.order_by("pk").last().audio.file.name)


def assert_silent(log, *, but):
    """The log has the words `but`, and no line with anything private."""
    text = log.read_text(errors="replace")
    assert [words for words in but if words not in text] == []
    assert [line for line in text.splitlines() if CANARY in line.lower()] == []


def test_the_worker_logs_nothing_private(workspace, flash, dataset, gemini, tmp_path):
    lose_one_audio(dataset)
    with running_cluster(tmp_path, **TALKATIVE):
        for mode in ("batch", "direct"):
            run = start(dataset, flash, gemini, mode)
            wait_for(lambda run=run: has_ended_and_left_nothing(run))
            reasons = set(Result.objects.filter(run=run, status="failed").values_list("reason", flat=True))
            assert {"audio_unreadable", "cut_off"} <= reasons
            assert Result.objects.filter(run=run, hypothesis__contains=CANARY, status="completed").exists()
            gemini.clear_faults()
    assert_silent(tmp_path / "cluster.log", but=[" DEBUG ", f"run {run.pk} job {run.jobs.get().pk} shard", *LOGGED])


def test_the_site_logs_nothing_private_of_what_it_shows(
    workspace, flash, dataset, gemini, tmp_path, make_member, settings
):
    settings.BATCH_POLL_SECONDS, settings.PROVIDER_TIMEOUT_SECONDS = 0.2, 3
    run = finish(start(dataset, flash, gemini, "batch"))
    close_adapters()
    _, key = create_api_key(workspace=workspace, name="test")
    with served_site(tmp_path, **TALKATIVE) as site, ExitStack() as stack:
        rest = stack.enter_context(
            httpx.Client(base_url=f"{site.address}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120)
        )
        shown = "".join(show_by_rest(rest, run))
        staff = stack.enter_context(
            httpx.Client(base_url=f"{site.address}/admin", cookies=cookies(make_member("owner")))
        )
        staff.timeout = 120
        shown += "".join(show_in_admin(staff, run))
    for private in ("transcript", "reference", "prompt", "run", "tag"):
        assert f"{CANARY}{private}" in shown
    assert_silent(tmp_path / "site.log", but=["Bad Request: /api/v1/runs/"])
    assert key not in (tmp_path / "site.log").read_text()
    assert f"{CANARY}-key" not in shown


def cookies(user):
    client = Client()
    client.force_login(user)
    name = site_settings.SESSION_COOKIE_NAME
    return {name: client.cookies[name].value}


def show_by_rest(rest, run):
    result = Result.objects.filter(run=run, status="completed").first()
    for path in (
        f"runs/{run.pk}/",
        "runs/",
        f"runs/?search={CANARY}",
        f"runs/{run.pk}/results/?search={CANARY}",
        f"runs/{run.pk}/results/?tag=who={CANARY}tag",
        f"runs/{run.pk}/export/?file_format=csv",
        f"runs/{run.pk}/export/?file_format=jsonl",
        f"runs/{run.pk}/leaderboard/",
        f"runs/{run.pk}/events/",
        f"results/{result.pk}/",
        f"results/{result.pk}/alignment/",
        f"samples/{result.sample_id}/",
        "providers/",
        "models/",
    ):
        answer = rest.get(path)
        assert answer.status_code == 200, path
        yield answer.text
    assert rest.get(f"results/{result.pk}/audio/").status_code == 200
    body = {"dataset": run.dataset_id, "models": [f"{CANARY}/model"], "prompt": f"{CANARY}prompt", "mode": CANARY}
    assert rest.post("runs/", json=body).status_code == 400
    broken = {"content": f"{{{CANARY}", "headers": {"Content-Type": "application/json"}}
    assert rest.post("runs/", **broken).status_code == 400
    assert rest.post(f"runs/{run.pk}/collect/").status_code == 202
    assert rest.get("runs/", headers={"Authorization": f"Bearer {CANARY}"}).status_code == 401


def show_in_admin(staff, run):
    result = Result.objects.filter(run=run, status="completed").first()
    failed = Result.objects.filter(run=run, status="failed").first()
    provider = Provider.objects.get()
    assert Batch.objects.count() == 1
    for path in (
        "/",
        "/evaluations/run/",
        f"/evaluations/run/{run.pk}/change/",
        f"/evaluations/run/{run.pk}/live/",
        f"/evaluations/run/{run.pk}/remote/",
        f"/evaluations/run/start/?dataset={run.dataset_id}",
        f"/evaluations/result/?run={run.pk}&q={CANARY}",
        f"/evaluations/result/{result.pk}/change/",
        f"/evaluations/result/{failed.pk}/change/",
        f"/datasets/sample/{Sample.objects.first().pk}/change/",
        f"/providers/provider/{provider.pk}/change/",
    ):
        page = staff.get(path)
        assert page.status_code == 200, path
        yield page.text
