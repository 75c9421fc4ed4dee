"""Runs from start to end, with the queue delivered in this process."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.errors import Conflict, InvalidInput
from datasets.models import Dataset, Task
from evaluations.models import Attempt, Job, Result, Run, Shard
from evaluations.pipeline.leases import claim_shard, close_shard
from evaluations.progress import run_progress
from evaluations.scoring.leaderboard import leaderboard
from evaluations.services import cancel_run, delete_run, rescore, retry_failed, start_run
from tests.evaluations.delivery import deliver_all
from tests.scripted.data import make_dataset, make_model, sha

pytestmark = pytest.mark.django_db


def the_run(run):
    return Run.objects.get(pk=run.pk)


def states(run):
    return list(Result.objects.filter(run=run).order_by("job", "sample").values_list("status", flat=True))


def test_every_result_exists_from_the_start(workspace):
    dataset = make_dataset(workspace, samples=7)
    models = [make_model(workspace, "a"), make_model(workspace, "b")]
    run = start_run(dataset=dataset, models=models)
    assert states(run) == ["pending"] * 14
    assert run_progress(run).total == 14


def test_a_run_completes_and_is_scored(workspace):
    dataset = make_dataset(workspace, samples=5, reference="Heard, it was.")
    run = start_run(dataset=dataset, models=[make_model(workspace, text="heard it is")])
    deliver_all()
    assert the_run(run).status == "completed"
    [row] = leaderboard(run).rows
    assert (row.completed, row.scored, row.failed) == (5, 5, 0)
    assert (row.hits, row.substitutions, row.reference_words) == (10, 5, 15)
    assert row.wer == pytest.approx(1 / 3)


def test_shards_of_nearly_one_length_cover_every_sample_once(workspace, settings):
    settings.DIRECT_SHARD_SIZE = 3
    run = start_run(dataset=make_dataset(workspace, samples=10), models=[make_model(workspace)])
    assert sorted(shard.results.count() for shard in Shard.objects.filter(job__run=run)) == [2, 2, 3, 3]
    deliver_all()
    assert states(run) == ["completed"] * 10


def test_a_sample_that_the_model_refuses_fails_alone_with_its_reason(workspace):
    run = start_run(dataset=make_dataset(workspace, samples=4), models=[make_model(workspace, refuse=[sha(2)])])
    deliver_all()
    assert the_run(run).status == "completed_with_failures"
    failed = Result.objects.get(run=run, status="failed")
    assert (failed.sample.key, failed.reason) == ("sample-2", "provider_error")
    assert "refuses this sample" in failed.error
    job = Job.objects.get(run=run)
    assert (job.completed, job.failed, job.cancelled, job.total) == (3, 1, 0, 4)


def test_a_fault_that_passes_is_tried_again_and_its_history_kept(workspace):
    run = start_run(dataset=make_dataset(workspace, samples=2), models=[make_model(workspace, flaky=[sha(0)])])
    deliver_all()
    assert the_run(run).status == "completed"
    attempt = Attempt.objects.get()
    assert (attempt.result.sample.key, attempt.number, attempt.reason) == ("sample-0", 1, "provider_error")


def test_a_run_whose_samples_all_fail_has_failed(workspace):
    dataset = make_dataset(workspace, samples=2)
    run = start_run(dataset=dataset, models=[make_model(workspace, refuse=[sha(0), sha(1)])])
    deliver_all()
    assert the_run(run).status == "failed"


def test_an_empty_answer_is_scored_as_deletions_and_counted_apart(workspace):
    run = start_run(dataset=make_dataset(workspace, samples=2), models=[make_model(workspace, text=" ")])
    deliver_all()
    assert set(Result.objects.values_list("status", "reason")) == {("completed", "empty_output")}
    [row] = leaderboard(run).rows
    assert (row.empty_outputs, row.deletions, row.wer) == (2, 2, 1.0)


def test_samples_without_a_reference_are_transcribed_and_counted_apart(workspace):
    dataset = make_dataset(workspace, samples=3)
    dataset.samples.filter(key="sample-1").update(reference=None)
    run = start_run(dataset=dataset, models=[make_model(workspace)])
    deliver_all()
    [row] = leaderboard(run).rows
    assert (row.completed, row.scored, row.without_reference) == (3, 2, 1)


def test_samples_in_which_nothing_is_said_are_in_no_rate(workspace):
    dataset = make_dataset(workspace, samples=3)
    dataset.samples.filter(key="sample-1").update(reference="")
    run = start_run(dataset=dataset, models=[make_model(workspace)])
    deliver_all()
    [row] = leaderboard(run).rows
    assert (row.scored, row.empty_references, row.empty_references_with_output) == (2, 1, 1)
    assert (row.insertions, row.wer) == (0, 0.0)


def test_the_corpus_rate_is_a_sum_over_a_sum_and_the_mean_stands_beside_it(workspace):
    dataset = make_dataset(workspace, samples=2)
    dataset.samples.filter(key="sample-0").update(reference="heard")
    dataset.samples.filter(key="sample-1").update(reference="one two three")
    run = start_run(dataset=dataset, models=[make_model(workspace)])
    deliver_all()
    [row] = leaderboard(run).rows
    assert row.wer == pytest.approx(3 / 4)
    assert row.mean_wer == pytest.approx(1 / 2)


def test_speed_is_the_sum_of_audio_over_the_sum_of_processing(workspace):
    dataset = make_dataset(workspace, samples=2)
    run = start_run(dataset=dataset, models=[make_model(workspace)])
    first, second = Result.objects.filter(run=run)
    deliver_all()
    Result.objects.filter(pk=first.pk).update(audio_seconds=10, latency=1)
    Result.objects.filter(pk=second.pk).update(audio_seconds=100, latency=50)
    assert leaderboard(run).rows[0].rtfx == pytest.approx(110 / 51)


def test_the_same_idempotency_key_starts_one_run(workspace):
    dataset, model = make_dataset(workspace), make_model(workspace)
    first = start_run(dataset=dataset, models=[model], idempotency_key="once")
    second = start_run(dataset=dataset, models=[model], idempotency_key="once")
    assert first == second
    assert Run.objects.count() == 1


def test_what_cannot_be_run_is_refused_before_anything_is_made(workspace):
    empty = Dataset.objects.create(workspace=workspace, name="empty")
    texts = Dataset.objects.create(workspace=workspace, name="texts", task=Task.TTS)
    spoken, model = make_dataset(workspace), make_model(workspace)
    cases = [
        ({"dataset": empty, "models": [model]}, "dataset", "no samples"),
        ({"dataset": texts, "models": [model]}, "dataset", "text to speech"),
        ({"dataset": spoken, "models": []}, "models", "at least one"),
        ({"dataset": spoken, "models": [model, model]}, "models", "once"),
        ({"dataset": spoken, "models": [model], "normalizer": "nope"}, "normalizer", "Known: basic, raw"),
        ({"dataset": spoken, "models": [model], "mode": "nope"}, "mode", "Unknown mode"),
    ]
    for arguments, field, words in cases:
        with pytest.raises(InvalidInput, match=words) as refusal:
            start_run(**arguments)
        assert refusal.value.field == field
    assert not Run.objects.exists()


def test_a_cancelled_run_ends_at_once_and_its_counts_add_up(workspace, settings):
    settings.DIRECT_SHARD_SIZE = 2
    run = start_run(dataset=make_dataset(workspace, samples=6), models=[make_model(workspace)])
    deliver_one_shard(run)
    assert cancel_run(run=run)
    deliver_all()
    assert the_run(run).status == "cancelled"
    job = Job.objects.get(run=run)
    assert (job.completed, job.cancelled, job.total) == (2, 4, 6)
    assert not cancel_run(run=run)


def deliver_one_shard(run):
    from evaluations.tasks import work_shard

    work_shard(Shard.objects.filter(job__run=run).order_by("index")[0].pk)


def test_retrying_runs_the_failed_samples_and_only_those(workspace, tmp_path):
    model = make_model(workspace, refuse=[sha(1)], log=str(tmp_path / "calls"))
    run = start_run(dataset=make_dataset(workspace, samples=3), models=[model])
    deliver_all()
    model.options["refuse"] = []
    model.save()
    assert retry_failed(run=run) == 1
    assert the_run(run).status == "running"
    deliver_all()
    assert the_run(run).status == "completed"
    calls = [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    assert sorted(calls) == sorted([sha(0), sha(1), sha(2), sha(1)])


def test_retrying_is_refused_while_the_run_goes_on(workspace):
    run = start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    Result.objects.filter(run=run).update(status="failed", reason="timeout")
    with pytest.raises(Conflict, match="still going on"):
        retry_failed(run=run)


def test_an_edited_reference_counts_after_scoring_again_without_calling_the_model(workspace, tmp_path):
    model = make_model(workspace, log=str(tmp_path / "calls"))
    dataset = make_dataset(workspace, samples=1, reference="herd")
    run = start_run(dataset=dataset, models=[model])
    deliver_all()
    assert leaderboard(run).rows[0].wer == 1.0
    dataset.samples.update(reference="heard", reference_revision=2)
    rescore(run=run, normalizer="basic")
    assert leaderboard(run).rows[0].wer == 0.0
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_a_run_scored_under_another_normaliser_shows_both(workspace):
    run = start_run(dataset=make_dataset(workspace, reference="Heard!"), models=[make_model(workspace)])
    deliver_all()
    rescore(run=run, normalizer="raw")
    assert leaderboard(run).rows[0].wer == 0.0
    assert leaderboard(run, "raw").rows[0].wer == 1.0


def test_a_deleted_model_leaves_its_results_readable(workspace):
    model = make_model(workspace)
    run = start_run(dataset=make_dataset(workspace), models=[model])
    deliver_all()
    model.provider.delete()
    [row] = leaderboard(run).rows
    assert (row.model_name, row.completed) == ("scripted/model", 5)


def test_a_model_deleted_in_the_middle_fails_what_is_left_with_a_reason(workspace):
    model = make_model(workspace)
    run = start_run(dataset=make_dataset(workspace), models=[model])
    model.delete()
    deliver_all()
    assert the_run(run).status == "failed"
    assert set(Result.objects.values_list("reason", flat=True)) == {"model_removed"}


def test_a_shard_is_held_by_one_worker_at_a_time(workspace):
    start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    shard = Shard.objects.get()
    assert claim_shard(shard.pk)
    assert claim_shard(shard.pk) is None


def test_a_lost_lease_cannot_be_renewed(workspace):
    run = start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    lease = claim_shard(Shard.objects.get().pk)
    assert lease.renew()
    cancel_run(run=run)
    assert not lease.renew()


def test_a_shard_that_workers_die_on_again_and_again_ends_failed(workspace, settings):
    run = start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    shard = Shard.objects.get()
    for _ in range(settings.SHARD_MAX_ATTEMPTS):
        assert claim_shard(shard.pk)
        Shard.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    deliver_all()
    assert the_run(run).status == "failed"
    assert set(Result.objects.values_list("reason", flat=True)) == {"worker_lost"}


def test_a_run_that_goes_on_is_not_deleted(workspace):
    run = start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    with pytest.raises(Conflict, match="Cancel it first"):
        delete_run(run=run)
    deliver_all()
    delete_run(run=run)
    assert not Run.objects.exists()


def test_what_completed_before_a_run_was_cancelled_is_scored(workspace, settings):
    settings.DIRECT_SHARD_SIZE = 2
    run = start_run(dataset=make_dataset(workspace, samples=6), models=[make_model(workspace)])
    Result.objects.filter(run=run, shard__index=0).update(status="completed", hypothesis="heard")  # in the middle
    assert cancel_run(run=run)
    [row] = leaderboard(run).rows
    assert (row.completed, row.scored, row.without_reference) == (2, 0, 0)
    deliver_all()
    [row] = leaderboard(run).rows
    assert (row.completed, row.scored, row.wer) == (2, 2, 0.0)


def test_answers_without_a_time_of_their_own_are_in_no_figure_of_speed(workspace):
    run = start_run(dataset=make_dataset(workspace, samples=3), models=[make_model(workspace)])
    deliver_all()
    timed, batched, failed = Result.objects.filter(run=run)
    Result.objects.filter(pk=timed.pk).update(audio_seconds=10, latency=1)
    Result.objects.filter(pk=batched.pk).update(audio_seconds=100, latency=None)
    Result.objects.filter(pk=failed.pk).update(status="failed", reason="cut_off", latency=50)
    [row] = leaderboard(run).rows
    assert (row.rtfx, row.latency_p50, row.latency_p95) == (10, 1, 1)
    assert row.audio_seconds == 110


def test_a_provider_that_asks_for_a_long_pause_is_waited_for_without_a_worker_and_says_why(workspace, tmp_path):
    model = make_model(workspace, flaky=[sha(6)], retry_after=3600, log=str(tmp_path / "calls"))
    run = start_run(dataset=make_dataset(workspace, samples=7), models=[model])
    deliver_all()  # nothing is due any more
    [job] = run_progress(the_run(run)).jobs
    assert (job.completed, job.pending, job.failed) == (6, 1, 0)
    assert len((tmp_path / "calls").read_text().splitlines()) == 7
    [why] = job.waiting_for
    assert "The scripted model stumbles." in why


def test_a_provider_is_left_alone_for_as_long_as_it_asks(workspace):
    model = make_model(workspace, flaky=[sha(7)], retry_after=1)
    run = start_run(dataset=make_dataset(workspace, samples=8), models=[model])
    begun = timezone.now()
    deliver_all()
    assert the_run(run).status == "completed"
    assert timezone.now() - begun > timedelta(seconds=1)


def test_a_shard_with_a_pending_result_is_not_closed(workspace):
    run = start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    lease = claim_shard(Shard.objects.get().pk)
    results = Result.objects.filter(run=run)
    results.exclude(pk=results[0].pk).update(status="completed")
    assert not close_shard(lease)
    results.update(status="completed")
    assert close_shard(lease)


def test_a_credential_that_cannot_be_read_any_more_fails_the_run_with_what_to_do(workspace, settings):
    model = make_model(workspace)
    model.provider.credential = "secret"
    model.provider.save()
    run = start_run(dataset=make_dataset(workspace), models=[model])
    settings.CREDENTIAL_KEY = "another one"
    deliver_all()
    assert the_run(run).status == "failed"
    result = Result.objects.filter(run=run)[0]
    assert result.reason == "invalid_credentials"
    assert "Restore the key, or enter the credential again" in result.error
