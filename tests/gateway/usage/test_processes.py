"""Several processes, and processes that die."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey
from core.queue import periodic
from gateway.models import Budget, MonthlySpend, UsageRecord
from gateway.tasks import sweep
from gateway.usage import recorder
from tests.evaluations.cluster import ROOT, environment
from tests.waiting import wait_for


@pytest.fixture
def process(secret, model):
    """process(what, count) -> a process of tests.gateway.usage.process."""
    started = []

    def start(what, count, **env):
        command = [sys.executable, "-m", "tests.gateway.usage.process", what, secret, model.name, str(count)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment(**env), stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def passed(*processes):
    """How many calls each was let through with."""
    return [int(each.communicate(timeout=120)[0]) for each in processes]


def test_two_processes_at_the_end_of_a_budget_keep_to_it(process, make_call, minute, workspace):
    Budget.objects.create(workspace=workspace, monthly_usd=30)
    make_call("first", minute(10))  # a dollar, as those to come
    counts = passed(process("spend", 40), process("spend", 40))
    assert sum(counts) == 29
    assert set(MonthlySpend.objects.values_list("spent_usd", "reserved_usd", "calls")) == {(30, 0, 30)}


def test_two_processes_share_what_a_key_may_call_a_minute(process):
    ApiKey.objects.update(requests_per_minute=10)
    counts = passed(process("ask", 50), process("ask", 50))
    assert 10 <= sum(counts) < 20  # one more comes in every six seconds meanwhile


def test_calls_of_a_process_that_was_killed_are_given_up_for_lost(process):
    dying = process("die", 5, USAGE_LEASE_SECONDS="1")
    assert dying.stdout.readline() == "5\n"
    dying.kill()
    assert UsageRecord.objects.filter(state="reserved").count() == 5
    wait_for(lambda: sweep() or not UsageRecord.objects.filter(state="reserved").exists())
    assert set(UsageRecord.objects.values_list("state", "result", "cost_usd")) == {("settled", "lost", None)}
    assert set(MonthlySpend.objects.values_list("reserved_usd", "calls", "unknown")) == {(0, 5, 5)}


def test_every_sweep_looks_for_lost_calls(call):
    reservation = asyncio.run(recorder.reserve(call("lost")))
    UsageRecord.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    periodic.sweep()
    assert UsageRecord.objects.get(pk=reservation.record_id).result == "lost"
