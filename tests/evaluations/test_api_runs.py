"""Runs over REST."""

import csv
import io
import json

import pytest

from accounts.models import Role
from evaluations.exporting import export_run
from evaluations.models import Result, Run, Score
from evaluations.services import cancel_run
from tests.evaluations.delivery import deliver_all
from tests.evaluations.factories import complete, fail, make_dataset, make_models, make_run

pytestmark = pytest.mark.django_db

RUNS = "/api/v1/runs/"


def address(run, name=""):
    return f"{RUNS}{run.pk}/{name}"


def start(api, dataset, models=("scripted/model-a",), headers=None, **more):
    return api.post(RUNS, {"dataset": dataset.pk, "models": list(models), **more}, headers=headers)


def messages(response):
    return {error["field"]: error["message"] for error in response.json()["errors"]}


# --- Starting -----------------------------------------------------------------------------------


def test_a_run_is_started_and_then_completes(api, workspace):
    dataset = make_dataset(workspace, samples=3)
    make_models(workspace, 2)
    response = start(
        api, dataset, ["scripted/model-a", "scripted/model-b"], name="First", prompt="names", language="en"
    )
    assert response.status_code == 201
    run = response.json()
    assert response.headers["Location"] == f"{RUNS}{run['id']}/"
    assert (run["name"], run["status"], run["dataset"]) == ("First", "pending", dataset.pk)
    assert run["models"] == ["scripted/model-a", "scripted/model-b"]
    assert run["counts"] == {"total": 6, "pending": 6, "completed": 0, "failed": 0, "cancelled": 0}
    assert run["options"] == {"mode": "auto", "prompt": "names", "language": "en"}
    deliver_all()
    run = api.get(response.headers["Location"]).json()
    assert run["status"] == "completed"
    assert run["counts"] == {"total": 6, "pending": 0, "completed": 6, "failed": 0, "cancelled": 0}


def test_the_same_idempotency_key_starts_one_run(api, workspace):
    dataset = make_dataset(workspace)
    make_models(workspace, 1)
    first, again = (start(api, dataset, headers={"Idempotency-Key": "nightly"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert start(api, dataset, headers={"Idempotency-Key": "other"}).json()["id"] != first.json()["id"]
    assert start(api, dataset).status_code == 201
    assert Run.objects.count() == 3


def test_an_idempotency_key_is_its_workspaces_own(api, other_api, workspace, other_workspace):
    datasets = [make_dataset(each) for each in (workspace, other_workspace)]
    for each in (workspace, other_workspace):
        make_models(each, 1)
    answers = [
        start(client, dataset, headers={"Idempotency-Key": "nightly"})
        for client, dataset in zip((api, other_api), datasets, strict=True)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]


def test_an_idempotency_key_that_is_too_long_is_refused(api, workspace):
    response = start(api, make_dataset(workspace), headers={"Idempotency-Key": "x" * 201})
    assert response.status_code == 400
    assert messages(response) == {"Idempotency-Key": "At most 200 characters."}


def test_unknown_models_are_each_named_with_those_that_there_are(api, workspace):
    make_models(workspace, 2)
    response = start(api, make_dataset(workspace), ["scripted/model-a", "nobody/x", "model-b"])
    assert response.status_code == 400
    assert [error["message"] for error in response.json()["errors"]] == [
        "There is no model 'nobody/x'. Known: scripted/model-a, scripted/model-b.",
        "There is no model 'model-b'. Known: scripted/model-a, scripted/model-b.",
    ]


def test_another_tenants_dataset_and_models_are_as_unknown_as_any(api, workspace, other_workspace):
    theirs = make_dataset(other_workspace)
    make_models(other_workspace, 2)
    make_models(workspace, 1)
    response = start(api, theirs, ["scripted/model-b"])
    assert messages(response) == {
        "dataset": f"There is no dataset {theirs.pk}.",
        "models": "There is no model 'scripted/model-b'. Known: scripted/model-a.",
    }


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"callback_url": "http://example.com"}, "callback_url"),
        ({"voice": "anna"}, "voice"),
        ({"mode": "some day"}, "mode"),
        ({"normalizer": "best"}, "normalizer"),
        ({"models": []}, "models"),
        ({"models": "scripted/model-a"}, "models"),
        ({"dataset": "x"}, "dataset"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"prompt": ["x"]}, "prompt"),
    ],
)
def test_a_bad_field_is_refused_by_name(api, workspace, more, field):
    dataset = make_dataset(workspace)
    make_models(workspace, 1)
    response = api.post(RUNS, {"dataset": dataset.pk, "models": ["scripted/model-a"], **more})
    assert response.status_code == 400
    assert field in messages(response)
    assert Run.objects.count() == 0


def test_what_the_service_refuses_is_said_at_its_field(api, workspace):
    make_models(workspace, 1)
    empty = make_dataset(workspace, samples=0)
    assert "has no samples" in messages(start(api, empty))["dataset"]
    twice = start(api, make_dataset(workspace), ["scripted/model-a", "scripted/model-a"])
    assert "once" in messages(twice)["models"]


def test_viewers_read_and_evaluators_start(api_as, workspace):
    dataset = make_dataset(workspace)
    make_models(workspace, 1)
    run = make_run(workspace, models=1)
    for role in (Role.VIEWER, Role.REVIEWER):
        client = api_as(role)
        assert start(client, dataset).status_code == 403
        assert client.get(RUNS).status_code == 200
        for name in ("", "results/", "leaderboard/", "export/"):
            assert client.get(address(run, name)).status_code == 200
        for name in ("cancel/", "retry/", "collect/", "rescore/"):
            assert client.post(address(run, name)).status_code == 403
        assert client.delete(address(run)).status_code == 403
    assert start(api_as(Role.EVALUATOR), dataset).status_code == 201


# --- Reading ------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_filtered(api, workspace):
    first, second = (make_run(workspace, models=1, name=name) for name in ("Nightly calls", "Podcasts"))
    complete(second)

    def ids(**query):
        return [run["id"] for run in api.get(RUNS, query).json()["results"]]

    assert ids() == [second.pk, first.pk]
    assert ids(status="completed") == [second.pk]
    assert ids(dataset=first.dataset_id) == [first.pk]
    assert ids(search="CALLS") == [first.pk]
    assert ids(search="%") == []
    assert api.get(RUNS, {"status": "gone"}).status_code == 400


def test_counts_add_up_with_failures_by_reason(api, workspace):
    run = make_run(workspace, samples=4, models=2)
    failed = run.results.order_by("pk")[:2]
    fail(failed[0], "timeout")
    fail(failed[1], "engine_crashed")
    complete(run, job=run.jobs.last())
    shown = api.get(address(run)).json()
    rows = {row["model"]: row for row in shown["results"]}
    assert rows["scripted/model-a"]["failures_by_reason"] == {"timeout": 1, "engine_crashed": 1}
    assert rows["scripted/model-a"]["pending"] == 2
    assert rows["scripted/model-b"]["completed"] == 4
    assert rows["scripted/model-b"]["wer"] == 0.0
    for row in [*rows.values(), shown["counts"]]:
        assert row["pending"] + row["completed"] + row["failed"] + row["cancelled"] == row["total"]
    assert shown["counts"]["total"] == 8
    assert shown["cost_usd"] is None


def test_times_are_there_once_known(api, workspace):
    run = make_run(workspace, models=1)
    assert api.get(address(run)).json()["seconds_elapsed"] is None
    complete(run)
    shown = api.get(address(run)).json()
    assert shown["seconds_elapsed"] >= 0
    assert shown["seconds_left"] is None
    assert shown["finished_at"]
    assert shown["jobs"][0]["status"] == "completed"


def test_the_leaderboard_names_its_normaliser_and_has_the_best_first(api, workspace):
    run = make_run(workspace, samples=2, models=2)
    bad, good = run.jobs.all()
    complete(run, say=lambda result: "the quick", job=bad)
    complete(run, job=good)
    board = api.get(address(run, "leaderboard/")).json()
    assert board["normalizer"]["name"] == "basic"
    assert board["normalizer"]["version"] == 1
    assert [row["model"] for row in board["rows"]] == [good.model_name, bad.model_name]
    worst = board["rows"][1]
    assert (worst["hits"], worst["deletions"], worst["reference_words"]) == (4, 8, 12)
    assert worst["wer"] == pytest.approx(8 / 12)
    assert worst["rtfx"] == pytest.approx(4.0)


def test_a_rescore_shows_under_its_normaliser_and_calls_no_model(api, workspace):
    run = make_run(workspace, samples=2, models=1)
    complete(run, say=lambda result: result.sample.reference.upper())
    response = api.post(address(run, "rescore/"), {"normalizer": "raw"})
    assert response.status_code == 202
    deliver_all()
    board = api.get(address(run, "leaderboard/"), {"normalizer": "raw"}).json()
    assert board["normalizer"]["name"] == "raw"
    assert board["rows"][0]["hits"] == 2  # the number of each
    assert api.get(address(run, "leaderboard/")).json()["rows"][0]["wer"] == 0.0
    assert Score.objects.count() == 4


def test_an_unknown_normaliser_is_refused(api, workspace):
    run = make_run(workspace, models=1)
    assert "best" in messages(api.post(address(run, "rescore/"), {"normalizer": "best"}))["normalizer"]
    assert "Known: basic, raw" in messages(api.get(address(run, "leaderboard/"), {"normalizer": "best"}))["normalizer"]


def test_the_list_costs_the_same_however_many_runs_there_are(api, workspace, django_assert_num_queries):
    for _ in range(2):
        make_run(workspace, models=2)
    api.get(RUNS)  # notes the key's use
    with django_assert_num_queries(3):  # key, runs, jobs
        api.get(RUNS)
    for _ in range(5):
        make_run(workspace, models=2)
    with django_assert_num_queries(3):
        assert len(api.get(RUNS).json()["results"]) == 7


def test_one_run_costs_the_same_however_many_results_it_has(api, workspace, django_assert_max_num_queries):
    run = make_run(workspace, samples=50, models=2)
    complete(run)
    api.get(RUNS)
    with django_assert_max_num_queries(13):
        api.get(address(run))


# --- Changing -----------------------------------------------------------------------------------


def test_cancelling_ends_what_is_pending_and_can_be_repeated(api, workspace):
    run = make_run(workspace, samples=2, models=1)
    fail(run.results.first())
    for _ in range(2):
        response = api.post(address(run, "cancel/"))
        assert response.status_code == 202
        assert response.json()["status"] == "cancelled"
        assert response.json()["counts"] == {"total": 2, "pending": 0, "completed": 0, "failed": 1, "cancelled": 1}


def test_what_has_ended_cannot_be_cancelled(api, workspace):
    run = make_run(workspace, models=1)
    complete(run)
    response = api.post(address(run, "cancel/"))
    assert response.status_code == 409
    assert response.json()["detail"] == "This run has ended already."


def test_a_retry_tries_the_failed_ones_again(api, workspace):
    run = make_run(workspace, samples=3, models=1)
    fail(run.results.first())
    complete(run)
    response = api.post(address(run, "retry/"))
    assert response.status_code == 202
    assert response.json()["status"] == "running"
    assert response.json()["counts"]["pending"] == 1
    deliver_all()
    assert api.get(address(run)).json()["counts"]["completed"] == 3


@pytest.mark.parametrize("ended", [True, False])
def test_a_retry_without_a_reason_is_refused(api, workspace, ended):
    run = make_run(workspace, models=1)
    if ended:
        complete(run)
    response = api.post(address(run, "retry/"))
    assert response.status_code == 409
    assert response.json()["detail"] == "No result of this run has failed."


def test_a_run_is_deleted_once_it_is_over(api, workspace):
    run = make_run(workspace, models=1)
    response = api.delete(address(run))
    assert response.status_code == 409
    assert "Cancel it first" in response.json()["detail"]
    cancel_run(run=run)
    assert api.delete(address(run)).status_code == 204
    assert api.get(address(run)).status_code == 404
    assert Result.objects.count() == 0


# --- Export -------------------------------------------------------------------------------------


def exported(api, run, file_format):
    response = api.get(address(run, "export/"), {"file_format": file_format})
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode("utf-8-sig")


def test_csv_holds_every_result(api, workspace):
    run = make_run(workspace, samples=3, models=2)
    fail(run.results.first())
    complete(run)
    run.results.update(cost_usd=0)
    rows = list(csv.DictReader(io.StringIO(exported(api, run, "csv"))))
    assert len(rows) == 6
    assert [row["status"] for row in rows].count("failed") == 1
    done = rows[-1]
    assert (done["key"], done["model"], done["normalizer"]) == ("clip-0002.wav", "scripted/model-b", "basic v1")
    assert done["hypothesis"] == done["reference"] == "the quick brown fox number 2"
    assert (float(done["wer"]), int(done["hits"]), json.loads(done["tags"])) == (0.0, 6, {"noise": "babble"})
    assert (rows[0]["wer"], rows[0]["cost_usd"]) == ("", "0.00000000")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")'])
def test_no_cell_of_csv_is_a_formula(api, workspace, text):
    run = make_run(workspace, models=1, dataset=make_dataset(workspace, references=[text]))
    complete(run)
    [row] = csv.DictReader(io.StringIO(exported(api, run, "csv"), newline=""))
    assert row["reference"] == row["hypothesis"] == f"'{text}"


def test_jsonl_is_exact(api, workspace):
    text = '=1+1, "quoted"\nnächste Zeile 😀'
    run = make_run(workspace, models=1, dataset=make_dataset(workspace, references=[text, None]))
    complete(run)
    first, second = map(json.loads, exported(api, run, "jsonl").splitlines())
    assert first["reference"] == first["hypothesis"] == text
    assert first["audio_seconds"] == 2.0
    assert second["reference"] is None


def test_an_export_is_made_in_slices(workspace, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("evaluations.exporting.SLICE", 10)
    chunks = export_run(make_run(workspace, samples=25, models=1), "jsonl")
    for lines in (10, 10, 5):
        with django_assert_num_queries(1):
            assert next(chunks).count(b"\n") == lines
    assert list(chunks) == []


def test_an_unknown_format_is_refused(api, workspace):
    response = api.get(address(make_run(workspace, models=1), "export/"), {"file_format": "xlsx"})
    assert messages(response) == {"file_format": "Unknown format. Known: csv, jsonl."}
