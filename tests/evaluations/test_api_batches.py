"""What REST shows of batches: their steps, their files, their tokens; and collecting again."""

from decimal import Decimal

import pytest
from django.core.files.base import ContentFile

from accounts.models import Role
from evaluations.models import Batch, Result, Shard, Upload
from evaluations.services import start_run
from tests.evaluations.delivery import deliver_all
from tests.evaluations.factories import complete, make_run
from tests.evaluations.gemini import deliver_until, finish, make_audio_dataset

pytestmark = pytest.mark.django_db


def address(run, name=""):
    return f"/api/v1/runs/{run.pk}/{name}"


def job_of(api, run):
    [job] = api.get(address(run)).json()["jobs"]
    return job


def test_a_finished_run_shows_its_batch_its_files_its_tokens_and_its_cost(workspace, api, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash], prompt="Write it down.")
    finish(run)

    body = api.get(address(run)).json()

    [job], [row] = body["jobs"], body["results"]
    assert (job["model"], job["status"], job["stage"]) == ("gemini/gemini-3.8-flash", "completed", "")
    assert (job["prompt"], job["error"], job["waiting_for"]) == ("Write it down.", "", [])
    [batch] = job["batches"]
    assert (batch["part"], batch["number"], batch["state"], batch["remote_state"]) == (1, 1, "ended", "SUCCEEDED")
    assert (batch["problems"], batch["error"], batch["output_kept"]) == ({}, "", True)
    assert batch["remote_name"].startswith("batches/")
    assert body["files"] == {"total": 5, "alive": 0, "gone": 5, "deletion_failures": 0, "deletion_errors": []}
    results = api.get(address(run, "results/")).json()["results"]
    assert row["input_tokens"] == sum(result["input_tokens"] for result in results) > 0
    assert row["output_tokens"] == sum(result["output_tokens"] for result in results) > 0
    assert Decimal(row["cost_usd"]) == sum(Decimal(result["cost_usd"]) for result in results) > 0
    assert body["cost_usd"] == row["cost_usd"]
    assert {result["latency"] for result in results} == {None}  # nobody knows it of a batch's samples


def test_each_step_of_a_batch_has_its_words(workspace, api, gemini, flash):
    gemini.settings(batch_running_seconds=60)
    gemini.fault("batch_create", "status", status=429, message="too many batches", times=1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])

    deliver_until(lambda: Batch.objects.exclude(waiting_for="").exists())
    job = job_of(api, run)
    assert job["stage"] == "Submitting"
    assert "too many batches" in job["waiting_for"][0]
    assert job["batches"][0]["waiting_for"] == job["waiting_for"][0]

    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    job = job_of(api, run)
    assert job["stage"] == "Waiting for the provider (RUNNING)"
    assert job["waiting_for"] == []
    assert api.get(address(run)).json()["files"]["alive"] == 3 + 1  # the audio, and the requests once


def test_uploads_are_counted_while_they_go_on(workspace, api, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    shard = run.jobs.get().shards.get()
    Batch.objects.create(shard=shard, number=1, display_name="b")
    for sample, state in zip(run.dataset.samples.all(), ["active", "failed", "planned"], strict=True):
        Upload.objects.create(
            run=run, provider=flash.provider, kind="audio", sample=sample, state=state, name=str(sample.pk)
        )
    assert job_of(api, run)["stage"] == "Uploading audio: 2 of 3"


def test_deletions_that_fail_are_counted_with_what_was_said(workspace, api, gemini, flash):
    gemini.fault("file_delete", "status", status=400, message="not today")
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Upload.objects.filter(delete_attempts__gt=0).count() == 4)

    files = api.get(address(run)).json()["files"]

    assert (files["total"], files["alive"], files["deletion_failures"]) == (4, 4, 4)
    assert files["deletion_errors"] == ["400 INVALID_ARGUMENT: not today"]


def test_what_failed_is_collected_again_from_the_kept_file(workspace, api, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    finish(run)
    Result.objects.filter(run=run).update(status="failed", reason="internal_error", hypothesis="")
    calls = gemini.state()["calls"]

    response = api.post(address(run, "collect/"))
    deliver_all()

    assert (response.status_code, response.json()["id"]) == (202, run.pk)
    assert api.get(address(run)).json()["counts"]["completed"] == 3
    assert gemini.state()["calls"] == calls


def test_there_is_nothing_to_collect_while_it_goes_on_or_without_a_kept_file(workspace, api):
    run = make_run(workspace, models=1)
    response = api.post(address(run, "collect/"))
    assert (response.status_code, response.json()["detail"]) == (
        409,
        "This run is still going on. Wait until it has ended.",
    )
    complete(run)
    response = api.post(address(run, "collect/"))
    assert response.status_code == 409
    assert "No result file of a batch is kept" in response.json()["detail"]


def test_viewers_and_strangers_cannot_collect(workspace, api_as, other_api):
    run = make_run(workspace, models=1)
    complete(run)
    assert api_as(Role.VIEWER).post(address(run, "collect/")).status_code == 403
    assert other_api.post(address(run, "collect/")).status_code == 404


@pytest.mark.parametrize("mode", ["auto", "batch", "direct"])
def test_the_mode_is_chosen_with_the_run(workspace, api, flash, mode):
    dataset = make_audio_dataset(workspace, samples=1)
    body = {"dataset": dataset.pk, "models": ["gemini/gemini-3.8-flash"], "mode": mode}
    run = api.post("/api/v1/runs/", body).json()
    assert run["options"]["mode"] == mode
    kinds = set(Shard.objects.filter(job__run=run["id"]).values_list("kind", flat=True))
    assert kinds == {"direct" if mode == "direct" else "batch"}


def test_a_model_without_batches_is_refused_in_batch_mode(workspace, api, flash):
    dataset = make_audio_dataset(workspace, samples=1)
    body = {"dataset": dataset.pk, "models": ["gemini/gemini-3.5-transcribe"], "mode": "batch"}
    response = api.post("/api/v1/runs/", body)
    assert response.status_code == 400
    assert "It does not work in batch mode; use direct." in response.json()["errors"][0]["message"]


def test_a_run_costs_the_same_however_many_batches_it_has(workspace, api, flash, django_assert_max_num_queries):
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    shard = run.jobs.get().shards.get()
    add_batches(shard, 1)
    api.get(address(run))
    with django_assert_max_num_queries(14) as few:
        api.get(address(run))
    add_batches(shard, 20)
    with django_assert_max_num_queries(len(few)):
        assert len(job_of(api, run)["batches"]) == 21


def add_batches(shard, count):
    first = shard.batches.count() + 1
    for number in range(first, first + count):
        batch = Batch.objects.create(shard=shard, number=number, display_name=f"batch-{number}", state="ended")
        batch.output.save(f"batches/{number}.gz", ContentFile(b""))
