"""What may be spent in a month."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError
from django.db.models import Count, Sum
from django.utils import timezone

from accounts.access import Access
from accounts.api_keys import access_of_key
from accounts.models import Role
from accounts.services import create_api_key
from gateway.errors import ApiError
from gateway.models import Budget, MonthlySpend, UsageRecord
from gateway.usage import recorder
from gateway.usage.records import write
from gateway.usage.types import Reservation, Settlement


@pytest.fixture
def budget(workspace):
    """Half a dollar for the workspace: five minutes of audio."""
    return Budget.objects.create(workspace=workspace, monthly_usd=Decimal("0.50"))


def test_a_workspace_whose_budget_is_spent_is_told_so_and_what_to_do(budget, make_call, minute):
    make_call("req-1", minute(5))
    with pytest.raises(ApiError) as refused:
        make_call("req-2", minute())
    assert (refused.value.status, refused.value.code) == (402, "budget_exceeded")
    message = refused.value.message
    assert "The budget of this workspace, $0.50 a month" in message
    assert f"$0.5000 spent in {timezone.now():%B}" in message
    assert "An owner can raise it under Budgets in the admin" in message
    assert UsageRecord.objects.count() == 1


def test_a_raised_budget_lets_calls_through_again(budget, make_call, minute):
    make_call("req-1", minute(5))
    Budget.objects.update(monthly_usd=1)
    make_call("req-2", minute())
    assert UsageRecord.objects.count() == 2


def test_a_keys_budget_stops_that_key_alone(make_call, minute, access, workspace):
    Budget.objects.create(workspace=workspace, api_key=access.api_key, monthly_usd=Decimal("0.10"))
    other = access_of_key(create_api_key(workspace=workspace, name="other")[1])
    make_call("req-1", minute())
    with pytest.raises(ApiError, match="The budget of this API key"):
        make_call("req-2", minute())
    make_call("req-3", minute(), access=other)


def test_a_budget_of_nothing_stops_everything(workspace, make_call, minute):
    Budget.objects.create(workspace=workspace, monthly_usd=0)
    with pytest.raises(ApiError):
        make_call("req-1", minute())


def test_a_call_that_would_cost_more_than_what_is_left_is_refused(budget, make_call, minute):
    make_call("req-1", minute(3), estimate_usd=Decimal("0.50"))
    with pytest.raises(ApiError):
        make_call("req-2", minute(), estimate_usd=Decimal("0.21"))
    make_call("req-3", minute(), estimate_usd=Decimal("0.20"))


def test_calls_under_way_hold_what_calls_cost_on_average(budget, make_call, minute, call):
    make_call("req-1", minute(1))
    make_call("req-2", minute(2))
    answers = write([call(f"under-way-{number}") for number in range(4)])  # 15 cents each beside the 30 spent
    assert [isinstance(answer, Reservation) for answer in answers] == [True, True, False, False]
    write([Settlement(answer, recorder.Outcome("failed", 502)) for answer in answers[:2]])
    make_call("req-3", minute())


def test_unknown_costs_count_as_nothing_but_are_counted(budget, make_call, model):
    for number in range(3):
        make_call(f"req-{number}", recorder.Outcome("success", 200, model=model))
    assert set(MonthlySpend.objects.values_list("spent_usd", "calls", "unknown")) == {(0, 3, 3)}


def test_what_is_kept_as_spent_is_the_sum_of_the_records(make_call, minute, model, call, workspace, other_workspace):
    other = access_of_key(create_api_key(workspace=workspace, name="other")[1])
    stranger = Access(other_workspace, Role.OWNER)
    for number in range(12):
        more = [{}, {"access": other}, {"access": stranger}][number % 3]
        seconds = [0.123456, 61.7, None, 3601.0][number % 4]
        outcome = recorder.Outcome(["success", "failed"][number % 2], 200, model=model, audio_seconds=seconds)
        make_call(f"req-{number}", outcome, **more)
    write([call("under way")])
    sums = {"spent_usd": Sum("cost_usd"), "calls": Count("settled_at"), "reserved_usd": Sum("reserved_usd")}
    for spend in MonthlySpend.objects.all():
        records = UsageRecord.objects.filter(workspace=spend.workspace)
        if spend.api_key:
            records = records.filter(api_key=spend.api_key)
        settled = records.filter(state="settled").aggregate(**sums)
        held = records.filter(state="reserved").aggregate(**sums)["reserved_usd"] or 0
        assert (spend.spent_usd, spend.calls, spend.reserved_usd) == (settled["spent_usd"], settled["calls"], held)
    assert MonthlySpend.objects.count() == 4


def test_a_call_counts_for_the_month_in_which_it_began(budget, call, minute):
    (reservation,) = write([call("req-1")])
    before = datetime.now(UTC).replace(day=1) - timedelta(days=3)
    begun_before = Reservation(
        reservation.record_id, reservation.workspace_id, reservation.api_key_id, before, reservation.reserved_usd
    )
    write([Settlement(begun_before, minute(9))])
    spent = MonthlySpend.objects.filter(api_key=None, month=before.date().replace(day=1)).get()
    assert spent.spent_usd == Decimal("0.9")
    write([call("req-2")])  # this month's budget is untouched
    assert UsageRecord.objects.count() == 2


def test_a_workspace_has_one_budget_and_each_key_one(budget, workspace, access):
    Budget.objects.create(workspace=workspace, api_key=access.api_key, monthly_usd=1)
    for api_key in (None, access.api_key):
        with pytest.raises(IntegrityError):
            Budget.objects.create(workspace=workspace, api_key=api_key, monthly_usd=1)
