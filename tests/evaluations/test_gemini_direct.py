"""Runs at Gemini with one call a sample: the same results, reasons and rows as in batches."""

import io
from collections import Counter
from decimal import Decimal

import pytest

from datasets.services import add_audio_sample, create_dataset
from evaluations.models import Attempt, Batch, Result, Run, Upload
from evaluations.scoring.leaderboard import leaderboard
from evaluations.services import retry_failed, start_run
from providers.models import SpeechModel
from tests.audio import encode, make_wav
from tests.evaluations.gemini import deliver_until, finish, make_audio_dataset
from tests.servers.gemini import sha256_of, words_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def transcribe(flash):
    """The catalogue's model that takes no batches."""
    return SpeechModel.objects.get(provider=flash.provider, name="gemini-3.5-transcribe")


def reasons(run):
    return Counter(Result.objects.filter(run=run).values_list("status", "reason"))


def dataset_of(workspace, *files):
    """A dataset of whole files (name, bytes)."""
    dataset = create_dataset(workspace=workspace, name="files")
    for name, data in files:
        add_audio_sample(dataset=dataset, file=io.BytesIO(data), filename=name, reference=words_for(sha256_of(data)))
    return dataset


def test_small_audio_goes_in_the_call_and_nothing_is_put_at_the_provider(workspace, gemini, flash):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=6), models=[flash], mode="direct"))
    assert run.status == "completed"
    assert reasons(run) == {("completed", ""): 6}
    assert leaderboard(run).rows[0].wer == 0.0
    assert gemini.state()["calls"] == {"generate": 6}
    assert not Upload.objects.exists()
    assert not Batch.objects.exists()


def test_rows_are_those_of_a_batch_but_for_their_latency_and_their_price(workspace, gemini, flash):
    dataset = make_audio_dataset(workspace, samples=3)
    runs = [finish(start_run(dataset=dataset, models=[flash], mode=mode)) for mode in ("batch", "direct")]
    same = ("sample", "status", "reason", "error", "hypothesis", "audio_seconds", "input_tokens", "output_tokens")
    batch, direct = [list(Result.objects.filter(run=run).values(*same)) for run in runs]
    assert batch == direct
    for one, other in zip(*(Result.objects.filter(run=run) for run in runs), strict=True):
        assert one.latency is None
        assert other.latency > 0
        assert other.cost_usd == pytest.approx(2 * one.cost_usd, abs=Decimal("2e-8"))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"what": "error"}, ("failed", "provider_error")),
        ({"what": "error", "status": 400}, ("failed", "request_refused")),
        ({"what": "no_candidates"}, ("failed", "no_candidates")),
        ({"what": "blocked_prompt"}, ("failed", "blocked")),
        ({"what": "blocked_safety"}, ("failed", "blocked")),
        ({"what": "empty_text"}, ("completed", "empty_output")),
        ({"what": "max_tokens"}, ("failed", "cut_off")),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_each_fault_of_an_answer_has_its_reason(workspace, gemini, flash, what, expected):
    gemini.fault("answer", **what)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash], mode="direct"))
    result = Result.objects.get(run=run)
    assert (result.status, result.reason) == expected
    assert run.status == ("failed" if expected[0] == "failed" else "completed")
    assert (result.error != "") == (expected[0] == "failed")
    calls = 3 if expected[1] == "provider_error" else 1
    assert gemini.state()["calls"] == {"generate": calls}


def test_what_was_cut_off_is_kept_and_paid_for_but_not_scored(workspace, gemini, flash):
    gemini.fault("answer", "max_tokens")
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash], mode="direct"))
    result, [row] = Result.objects.get(run=run), leaderboard(run).rows
    assert result.hypothesis
    assert row.cost_usd == result.cost_usd > 0
    assert (row.input_tokens, row.output_tokens) == (result.input_tokens, result.output_tokens)
    assert (row.scored, row.failed) == (0, 1)


@pytest.mark.parametrize("fault", ["status", "drop", "garbage", "empty"])
def test_a_call_that_fails_once_is_repeated_and_written_down(workspace, gemini, flash, fault):
    gemini.fault("generate", fault, times=1)
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash], mode="direct"))
    assert reasons(run) == {("completed", ""): 1}
    attempt = Attempt.objects.get(result__run=run)
    assert (attempt.number, attempt.reason) == (1, "provider_error")


def test_audio_above_the_inline_limit_is_uploaded_first_and_deleted_afterwards(workspace, gemini, transcribe):
    large, small = make_wav(seconds=470), make_wav(seconds=1)
    dataset = dataset_of(workspace, ("large.wav", large), ("small.wav", small))
    run = finish(start_run(dataset=dataset, models=[transcribe], mode="direct"))
    assert reasons(run) == {("completed", ""): 2}
    assert leaderboard(run).rows[0].wer == 0.0
    upload = Upload.objects.get()
    assert (upload.sample.key, upload.state, upload.mime_type) == ("large.wav", "gone", "audio/wav")
    state = gemini.state()
    assert (state["files"], len(state["files_ever"]), state["calls"]["generate"]) == ([], 1, 2)


def test_audio_of_a_type_that_it_does_not_take_is_uploaded_as_flac(workspace, gemini, flash):
    dataset = dataset_of(workspace, ("talk.m4a", encode("m4a")), ("talk.wav", make_wav()))
    run = finish(start_run(dataset=dataset, models=[flash], mode="direct"))
    assert reasons(run) == {("completed", ""): 2}
    upload = Upload.objects.get()
    assert (upload.sample.key, upload.state, upload.mime_type) == ("talk.m4a", "gone", "audio/flac")
    assert gemini.state()["files"] == []


def test_audio_that_cannot_be_uploaded_fails_alone(workspace, gemini, flash):
    gemini.fault("upload_start", "status", status=400, message="no")
    dataset = dataset_of(workspace, ("talk.m4a", encode("m4a")), ("talk.wav", make_wav()))
    run = finish(start_run(dataset=dataset, models=[flash], mode="direct"))
    assert run.status == "completed_with_failures"
    failed = Result.objects.get(run=run, status="failed")
    assert (failed.sample.key, failed.reason) == ("talk.m4a", "request_refused")
    gemini.clear_faults()
    assert retry_failed(run=run) == 1
    assert finish(run).status == "completed"


def test_the_models_mode_is_chosen_by_itself(workspace, gemini, flash, transcribe):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash, transcribe]))
    assert reasons(run) == {("completed", ""): 4}
    assert gemini.state()["calls"]["generate"] == 2
    assert set(Batch.objects.values_list("shard__job__model__name", flat=True)) == {"gemini-3.8-flash"}


def test_a_wrong_key_fails_every_sample_with_its_reason(workspace, gemini, flash):
    flash.provider.credential = "not the key"
    flash.provider.save()
    for mode in ("direct", "batch"):
        dataset = make_audio_dataset(workspace, samples=2, name=mode)
        run = start_run(dataset=dataset, models=[flash], mode=mode)
        deliver_until(Run.objects.filter(pk=run.pk).finished().exists)
        assert reasons(run) == {("failed", "invalid_credentials"): 2}
