"""Calls one by one, with the queue delivered in this process: refused keys, retries and their cost, time limits."""

import json
from decimal import Decimal

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from evaluations.models import Job, Result, Run
from evaluations.pipeline.calls import time_limit
from evaluations.progress import run_progress
from evaluations.scoring.leaderboard import leaderboard
from evaluations.services import retry_failed, start_run
from providers.models import ProviderThrottle
from tests.evaluations.delivery import deliver_all
from tests.scripted.data import make_dataset, make_model, sha

pytestmark = pytest.mark.django_db


def the_run(run):
    return Run.objects.get(pk=run.pk)


def fault_file(tmp_path, **fault):
    path = tmp_path / "fault"
    path.write_text(json.dumps(fault))
    return path


@pytest.mark.parametrize("reason", ["invalid_credentials", "quota_exhausted"])
def test_a_refused_key_ends_the_job_at_the_first_answer_and_a_new_one_finishes_it(
    workspace, tmp_path, settings, reason
):
    settings.DIRECT_SHARD_SIZE = 10
    fault, log = fault_file(tmp_path, reason=reason, message="401: wrong key", status=401), tmp_path / "calls"
    model = make_model(workspace, max_concurrency=4, fault=str(fault), log=str(log))
    other = make_model(workspace, "other", provider="well")
    run = start_run(dataset=make_dataset(workspace, samples=60), models=[model, other])
    deliver_all()
    calls = len(log.read_text().splitlines())
    assert 1 <= calls <= 4
    assert set(Result.objects.filter(job__model=model).values_list("status", "reason", "error")) == {
        ("failed", reason, "401: wrong key")
    }
    job = Job.objects.get(model=model)
    assert (job.status, job.error, job.failed) == ("failed", "401: wrong key", 60)
    assert Job.objects.get(model=other).status == "completed"
    fault.unlink()
    assert retry_failed(run=run) == 60
    deliver_all()
    job.refresh_from_db()
    assert (the_run(run).status, job.error, job.completed) == ("completed", "", 60)
    assert len(log.read_text().splitlines()) == calls + 60


def test_a_retry_is_counted_and_is_in_no_latency(workspace):
    model = make_model(workspace, flaky=[sha(9)], latency=0.01)
    run = start_run(dataset=make_dataset(workspace, samples=10), models=[model])
    deliver_all()
    assert sorted(result.retries for result in Result.objects.filter(run=run)) == [0] * 9 + [1]
    assert set(Result.objects.values_list("latency", flat=True)) == {0.01}
    assert leaderboard(run).rows[0].retries == 1


def test_what_a_result_has_cost_before_it_was_tried_again_is_not_forgotten(workspace):
    run = start_run(dataset=make_dataset(workspace, samples=2), models=[make_model(workspace)])
    deliver_all()
    cut = Result.objects.filter(run=run).first()
    Result.objects.filter(pk=cut.pk).update(
        status="failed", reason="cut_off", error="not whole", cost_usd=Decimal("0.25"), output_tokens=7, latency=2
    )
    retry_failed(run=run)
    attempt = cut.failed_attempts.get()
    assert (attempt.reason, attempt.latency, attempt.cost_usd) == ("cut_off", 2, Decimal("0.25"))
    deliver_all()
    Result.objects.filter(run=run).update(cost_usd=Decimal("0.5"))
    [row] = leaderboard(run).rows
    assert (row.cost_usd, row.output_tokens, row.retries) == (Decimal("1.25"), 7, 1)
    assert Result.objects.with_details().get(pk=cut.pk).earlier_cost_usd == Decimal("0.25")


def test_however_often_the_provider_takes_no_more_calls_no_sample_fails_of_it(workspace, tmp_path):
    fault = fault_file(tmp_path, reason="rate_limited", status=429, retryable=True, message="429: too many")
    run = start_run(dataset=make_dataset(workspace, samples=3), models=[make_model(workspace, fault=str(fault))])
    for _ in range(6):
        ProviderThrottle.objects.update(backoff_until=timezone.now())
        OrmQ.objects.update(lock=timezone.now())
        deliver_all()
    [job] = run_progress(the_run(run)).jobs
    assert (job.pending, job.failed) == (3, 0)
    assert "429: too many" in job.waiting_for[0]
    fault.unlink()
    ProviderThrottle.objects.update(backoff_until=timezone.now())
    OrmQ.objects.update(lock=timezone.now())
    deliver_all()
    assert the_run(run).status == "completed"
    assert not Result.objects.exclude(attempts=1).exists()


def test_a_call_may_take_as_long_as_its_audio_needs(settings):
    assert time_limit(5) < 60
    assert time_limit(30) < time_limit(60) < settings.CALL_TIMEOUT_SECONDS
    assert time_limit(9 * 3600) == settings.CALL_TIMEOUT_SECONDS
    settings.CALL_TIMEOUT_SECONDS = 20
    assert time_limit(5) == 20
