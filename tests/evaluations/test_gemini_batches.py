"""Runs in batches at Gemini, with the queue delivered in this process."""

from collections import Counter

import pytest

from evaluations.models import Batch, Job, Result, Upload
from evaluations.progress import run_progress
from evaluations.scoring.leaderboard import leaderboard
from evaluations.services import cancel_run, retry_failed, start_run
from providers.models import SpeechModel
from tests.evaluations.delivery import deliver_all
from tests.evaluations.gemini import deliver_until, finish, make_audio_dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def pro(flash):
    return SpeechModel.objects.create(
        provider=flash.provider,
        name="gemini-2.5-pro",
        upstream_name="gemini-2.5-pro",
        speech_to_text=True,
        supports_batch=True,
    )


def reasons(run):
    return Counter(Result.objects.filter(run=run).values_list("status", "reason"))


def only_batch(gemini):
    [batch] = gemini.state()["batches"].values()
    return batch


def key_of(run, sample):
    """The key of that sample's line."""
    return str(Result.objects.get(run=run, sample__key=sample).pk)


def test_a_batch_goes_up_is_answered_and_leaves_nothing_behind(workspace, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=12), models=[flash])
    finish(run)
    assert run.status == "completed"
    assert reasons(run) == {("completed", ""): 12}
    [row] = leaderboard(run).rows
    assert (row.scored, row.wer) == (12, 0.0)
    state = gemini.state()
    assert state["files"] == []
    assert set(state["submitted_keys"].values()) == {1}


def test_one_upload_serves_all_models_of_a_run(workspace, gemini, flash, pro):
    run = start_run(dataset=make_audio_dataset(workspace, samples=8), models=[flash, pro])
    finish(run)
    assert reasons(run) == {("completed", ""): 16}
    assert Upload.objects.filter(run=run, kind="audio").count() == 8


def test_a_sample_whose_upload_fails_ends_failed_and_the_others_complete(workspace, gemini, flash):
    gemini.fault("file", "FAILED", times=1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=5), models=[flash])
    finish(run)
    assert run.status == "completed_with_failures"
    assert reasons(run) == {("completed", ""): 4, ("failed", "file_refused"): 1}


def test_where_nothing_can_be_uploaded_nothing_is_submitted(workspace, gemini, flash):
    gemini.fault("upload_start", "status", status=400, message="no")
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    finish(run)
    assert run.status == "failed"
    assert gemini.state()["batches"] == {}


def test_every_file_is_waited_for_until_it_can_be_used(workspace, gemini, flash):
    gemini.settings(file_processing_seconds=0.3)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash], mode="batch")
    finish(run)
    assert reasons(run) == {("completed", ""): 2}


def test_where_files_do_not_live_long_enough_for_a_batch_nothing_is_submitted(workspace, gemini, flash):
    gemini.settings(file_lifetime_seconds=24 * 3600)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    finish(run)
    assert reasons(run) == {("failed", "file_refused"): 2}
    assert "Use mode direct" in run_progress(run).jobs[0].error
    state = gemini.state()
    assert (state["batches"], state["calls"]["upload_start"]) == ({}, 2)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("error", ("failed", "provider_error")),
        ("bad_json", ("failed", "bad_json")),
        ("neither", ("failed", "no_response")),
        ("missing", ("failed", "missing_in_output")),
        ("missing_key", ("failed", "missing_in_output")),
        ("unknown_key", ("failed", "missing_in_output")),
        ("no_candidates", ("failed", "no_candidates")),
        ("blocked_prompt", ("failed", "blocked")),
        ("blocked_safety", ("failed", "blocked")),
        ("empty_text", ("completed", "empty_output")),
        ("max_tokens", ("failed", "cut_off")),
        ("twice", ("completed", "")),
    ],
)
def test_each_fault_of_a_line_has_its_own_reason(workspace, gemini, flash, what, expected):
    run = start_run(dataset=make_audio_dataset(workspace, samples=4), models=[flash])
    gemini.fault("line", what, keys=[key_of(run, "sample-2")])
    finish(run)
    result = Result.objects.get(run=run, sample__key="sample-2")
    assert (result.status, result.reason) == expected
    assert Result.objects.filter(run=run).exclude(pk=result.pk).filter(status="completed", reason="").count() == 3
    job = Job.objects.get(run=run)
    assert job.completed + job.failed + job.cancelled == job.total == 4


def test_shuffled_lines_reach_their_samples(workspace, gemini, flash):
    gemini.fault("results", "shuffled")
    run = start_run(dataset=make_audio_dataset(workspace, samples=10), models=[flash])
    finish(run)
    assert leaderboard(run).rows[0].wer == 0.0


def test_a_create_whose_answer_is_lost_is_found_and_not_repeated(workspace, gemini, flash):
    gemini.fault("batch_create", "drop", effect=True, times=1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    finish(run)
    assert run.status == "completed"
    assert len(gemini.state()["batches"]) == 1


def test_a_full_quota_is_waited_for_with_its_reason_on_screen(workspace, gemini, flash):
    gemini.fault("batch_create", "status", status=429, message="too many batches", times=2)
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    deliver_until(lambda: Batch.objects.filter(waiting_for__contains="too many batches").exists())
    finish(run)
    assert run.status == "completed"
    assert set(gemini.state()["submitted_keys"].values()) == {1}


def test_why_a_batch_cannot_be_made_stays_on_screen_while_it_is_looked_for(workspace, gemini, flash):
    gemini.fault("batch_create", "status", status=500, message="out of order")
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(waiting_for__contains="out of order").exists())
    deliver_until(lambda: gemini.state()["calls"].get("batch_list", 0) > 2)
    assert "out of order" in run_progress(run).jobs[0].waiting_for[0]


def test_one_model_that_is_refused_leaves_the_others_running(workspace, gemini, flash, pro):
    gemini.fault("batch_create", "status", status=400, message="refused", match="gemini-2.5-pro")
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash, pro], mode="batch")
    finish(run)
    assert run.status == "completed_with_failures"
    assert Job.objects.get(run=run, model=flash).status == "completed"
    assert reasons(run)["failed", "request_refused"] == 3


def test_a_model_that_takes_no_batches_is_called_directly(workspace, gemini, flash, pro):
    gemini.fault("batch_create", "status", status=400, message="not supported for batch", match="gemini-2.5-pro")
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[pro])
    finish(run)
    assert run.status == "completed"
    assert gemini.state()["batches"] == {}


@pytest.mark.parametrize(("mode", "status"), [("auto", "completed"), ("batch", "failed")])
def test_a_model_whose_batch_fails_for_what_is_in_it_is_called_directly_where_it_may(
    workspace, gemini, flash, mode, status
):
    gemini.fault("batch", "FAILED", status=400, message="no audio in batches")
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash], mode=mode)
    finish(run)
    assert run.status == status
    assert "no audio in batches" in run_progress(run).jobs[0].error


@pytest.mark.parametrize(("mode", "status"), [("auto", "completed"), ("batch", "failed")])
def test_a_model_whose_batch_refuses_each_sample_is_called_directly_where_it_may(
    workspace, gemini, flash, mode, status
):
    gemini.fault("line", "error", status=400, message="no audio in batches")
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash], mode=mode)
    finish(run)
    assert run.status == status
    assert reasons(run) == {("completed", ""): 2} if mode == "auto" else {("failed", "request_refused"): 2}


def test_a_batch_that_refuses_some_samples_fails_these_alone(workspace, gemini, flash):
    gemini.fault("line", "error", status=400, message="this one is too loud", indices=[1])
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    finish(run)
    assert reasons(run) == {("completed", ""): 2, ("failed", "request_refused"): 1}


@pytest.mark.parametrize("fault", ["status", "drop", "garbage", "empty"])
def test_a_failing_poll_is_repeated_and_fails_nothing(workspace, gemini, flash, fault):
    gemini.fault("batch_get", fault, times=3)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    finish(run)
    assert run.status == "completed"


@pytest.mark.parametrize(
    ("state", "reason"), [("FAILED", "batch_failed"), ("EXPIRED", "batch_expired"), ("CANCELLED", "batch_cancelled")]
)
def test_a_batch_that_ends_without_results_fails_its_samples_with_the_providers_words(
    workspace, gemini, flash, state, reason
):
    gemini.fault("batch", state, message="the provider's own words")
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    finish(run)
    assert reasons(run) == {("failed", reason): 2}
    if state == "FAILED":
        assert "the provider's own words" in Result.objects.filter(run=run)[0].error
        assert "the provider's own words" in run_progress(run).jobs[0].error


@pytest.mark.parametrize("state", ["PARTIALLY_SUCCEEDED", "PAUSED", "SOMETHING_NEW"])
def test_every_other_state_is_borne(workspace, gemini, flash, state):
    gemini.fault("batch", state, seconds=0.5)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    finish(run)
    assert run.status in {"completed", "completed_with_failures"}


def test_a_batch_that_hangs_is_given_up_at_its_deadline(workspace, gemini, flash, settings):
    gemini.fault("batch", "RUNNING")
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(state="submitted").exists())
    Batch.objects.update(deadline_at="2026-01-01T00:00Z")
    finish(run)
    assert reasons(run) == {("failed", "batch_deadline"): 2}
    assert only_batch(gemini)["state"].endswith("CANCELLED")


def test_cancelling_stops_the_batch_and_deletes_the_files(workspace, gemini, flash):
    gemini.settings(batch_running_seconds=60)
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    deliver_until(lambda: Batch.objects.filter(state="submitted").exists())
    cancel_run(run=run)
    finish(run)
    deliver_all()
    assert run.status == "cancelled"
    assert reasons(run) == {("cancelled", "cancelled"): 3}
    assert only_batch(gemini)["state"].endswith("CANCELLED")
    assert gemini.state()["files"] == []


def test_retrying_sends_the_failed_samples_only(workspace, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=4), models=[flash])
    key = key_of(run, "sample-1")
    gemini.fault("line", "error", keys=[key], times=1)
    finish(run)
    assert retry_failed(run=run) == 1
    finish(run)
    assert run.status == "completed"
    counts = gemini.state()["submitted_keys"]
    assert counts[key] == 2
    assert set(counts.values()) == {1, 2}


def test_deletions_that_fail_are_repeated_until_nothing_is_left(workspace, gemini, flash):
    gemini.fault("file_delete", "status", status=500, times=5)
    run = start_run(dataset=make_audio_dataset(workspace, samples=4), models=[flash])
    finish(run)
    assert gemini.state()["files"] == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_is_not_there_counts_as_gone(workspace, gemini, flash, status):
    gemini.settings(missing_file_status=status)
    gemini.fault("file_delete", "drop", effect=True, times=2)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    finish(run)
    assert gemini.state()["files"] == []


def test_tokens_and_half_the_price_are_stored_with_each_result(workspace, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    finish(run)
    result = Result.objects.filter(run=run)[0]
    assert result.input_tokens > 0
    expected = (0.75 * result.input_tokens + 3.75 * result.output_tokens) / 1e6 / 2
    assert float(result.cost_usd) == pytest.approx(expected, rel=1e-3)
    assert leaderboard(run).rows[0].cost_usd is not None
