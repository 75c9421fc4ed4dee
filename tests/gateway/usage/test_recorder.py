"""A call is on record before it is made, and ends in exactly one settlement."""

import asyncio
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import BinaryField, FileField, JSONField, TextField
from django.utils import timezone

from accounts.access import Access
from accounts.models import Role
from gateway.errors import ApiError
from gateway.models import MonthlySpend, UsageRecord
from gateway.usage import recorder
from gateway.usage.sweep import settle_lost
from tests.waiting import beside, wait_for


def test_a_call_is_on_record_before_it_is_made(call, workspace):
    asyncio.run(recorder.reserve(call("req-1", session_id=7)))
    record = UsageRecord.objects.get()
    assert (record.workspace, record.key_name, record.model_name) == (workspace, "ci", "acme/ears")
    assert (record.endpoint, record.request_id, record.session_id) == ("transcription", "req-1", 7)
    assert (record.state, record.result, record.cost_usd) == ("reserved", "", None)


def test_a_settled_call_says_how_it_ended_and_what_it_came_to(make_call, minute, model):
    outcome = minute(input_tokens=3, output_tokens=4, latency=0.5, first_byte=0.2, body_sha256="ab" * 32)
    make_call("req-1", outcome, model_name="fast")
    record = UsageRecord.objects.get()
    assert (record.state, record.result, record.status) == ("settled", "success", 200)
    assert (record.model_name, record.served_by, record.model) == ("fast", "acme/ears", model)
    assert (record.audio_seconds, record.input_tokens, record.output_tokens) == (60.0, 3, 4)
    assert (record.latency, record.first_byte, record.body_sha256) == (0.5, 0.2, "ab" * 32)
    assert record.cost_usd == Decimal("0.1")
    assert record.settled_at > record.created_at


@pytest.mark.parametrize("result", ["success", "failed", "cancelled", "disconnected"])
def test_however_a_call_ends_only_the_first_settlement_counts(call, minute, model, result):
    first = recorder.Outcome(result, 200, reason="why", model=model, audio_seconds=60.0)

    async def settle_twice():
        reservation = await recorder.reserve(call("req-1"))
        await asyncio.gather(recorder.settle(reservation, first), recorder.settle(reservation, minute(50)))
        await recorder.settle(reservation, minute(50))

    asyncio.run(settle_twice())
    record = UsageRecord.objects.get()
    assert (record.result, record.reason, record.cost_usd) == (result, "why", Decimal("0.1"))
    assert set(MonthlySpend.objects.values_list("spent_usd", "calls")) == {(Decimal("0.1"), 1)}


def test_many_calls_from_several_event_loops_are_each_recorded_once(call, minute):
    async def many(thread):
        async def one(number):
            await recorder.settle(await recorder.reserve(call(f"req-{thread}-{number}")), minute())

        await asyncio.gather(*(one(number) for number in range(100)))

    threads = [threading.Thread(target=asyncio.run, args=[many(thread)]) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert UsageRecord.objects.filter(state="settled", result="success").count() == 400
    assert set(MonthlySpend.objects.values_list("spent_usd", "reserved_usd", "calls")) == {(40, 0, 400)}


def test_a_call_without_a_key_counts_for_the_workspace_alone(make_call, minute, workspace):
    make_call("req-1", minute(), access=Access(workspace, Role.OWNER))
    assert UsageRecord.objects.get().api_key is None
    assert MonthlySpend.objects.get().api_key is None


# --- Interrupted ---------------------------------------------------------------------------------


def test_a_settlement_is_written_even_where_its_task_is_cancelled(call, minute):
    async def settle_and_go():
        reservation = await recorder.reserve(call("req-1"))
        settling = asyncio.create_task(recorder.settle(reservation, minute()))
        await asyncio.sleep(0)
        settling.cancel()

    asyncio.run(settle_and_go())
    recorder.close()
    assert UsageRecord.objects.get().result == "success"


def test_a_caller_who_leaves_while_the_call_is_reserved_leaves_nothing_under_way(call):
    async def leave():
        reserving = asyncio.create_task(recorder.reserve(call("req-1")))
        await asyncio.sleep(0)
        reserving.cancel()
        await beside(lambda: wait_for(UsageRecord.objects.filter(state="settled").exists))

    asyncio.run(leave())
    recorder.close()
    record = UsageRecord.objects.get()
    assert (record.result, record.cost_usd) == ("cancelled", 0)


def test_a_long_call_does_not_expire_and_one_that_nobody_holds_does(call, settings):
    settings.USAGE_LEASE_SECONDS = 0.6

    def one_is_renewed_and_the_other_is_over():
        settings.USAGE_LEASE_SECONDS = 60  # what is renewed from here on does not expire in this test
        in_a_while = timezone.now() + timedelta(seconds=30)
        records = UsageRecord.objects
        return records.get(request_id="held").expires_at > in_a_while and records.lost(timezone.now()).exists()

    async def hold_one():
        held = await recorder.reserve(call("held"))
        await recorder.reserve(call("forgotten"))
        await beside(lambda: wait_for(one_is_renewed_and_the_other_is_over))
        return held, await beside(settle_lost)

    _, settled = asyncio.run(hold_one())
    assert settled == 1
    assert UsageRecord.objects.get(request_id="held").state == "reserved"
    assert UsageRecord.objects.get(request_id="forgotten").result == "lost"


def test_a_call_that_was_given_up_for_lost_but_ends_after_all_is_corrected(call, minute, settings):
    settings.USAGE_LEASE_SECONDS = 0.05

    async def be_late():
        reservation = await recorder.reserve(call("req-1"))
        recorder.close()  # nothing renews it, as in a machine that sleeps
        assert await beside(lambda: wait_for(settle_lost)) == 1
        await recorder.settle(reservation, minute())
        await recorder.settle(reservation, minute())

    asyncio.run(be_late())
    record = UsageRecord.objects.get()
    assert (record.result, record.cost_usd) == ("success", Decimal("0.1"))
    sums = MonthlySpend.objects.values_list("spent_usd", "reserved_usd", "calls", "unknown")
    assert set(sums) == {(Decimal("0.1"), 0, 1, 0)}


# --- What the database refuses --------------------------------------------------------------------


def test_a_request_id_that_is_taken_is_refused_and_does_no_harm_to_other_calls(call):
    async def all_at_once():
        names = ["req-1", "req-1", *(f"other-{number}" for number in range(20))]
        return await asyncio.gather(*(recorder.reserve(call(name)) for name in names), return_exceptions=True)

    answers = asyncio.run(all_at_once())
    (refused,) = [answer for answer in answers if isinstance(answer, ApiError)]
    assert (refused.status, refused.code) == (409, "request_id_taken")
    assert UsageRecord.objects.count() == 21
    assert not [answer for answer in answers if not isinstance(answer, ApiError | recorder.Reservation)]


def test_two_workspaces_may_use_the_same_request_id(make_call, minute, other_workspace):
    make_call("req-1", minute())
    make_call("req-1", minute(), access=Access(other_workspace, Role.OWNER))
    assert UsageRecord.objects.filter(request_id="req-1").count() == 2


def test_a_model_that_was_deleted_meanwhile_is_still_named(call, minute, model):
    async def delete_in_between():
        reservation = await recorder.reserve(call("req-1"))
        await asyncio.to_thread(delete)
        await recorder.settle(reservation, outcome)

    def delete():
        type(model).objects.all().delete()
        connection.close()

    outcome = minute()
    outcome.model.public_name  # noqa: B018  (known before, as where it was routed)
    asyncio.run(delete_in_between())
    record = UsageRecord.objects.get()
    assert (record.model, record.served_by, record.result) == (None, "acme/ears", "success")


@pytest.mark.parametrize(("asked", "kept"), [("a\0b", "ab"), ("a\ud800b", "a?b"), ("é" * 500, "é" * 200), ("", "")])
def test_whatever_is_asked_for_as_a_model_can_be_recorded(make_call, minute, asked, kept):
    make_call("req-1", minute(), model_name=asked)
    assert UsageRecord.objects.get().model_name == kept


# --- What it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "cost"),
    [
        ({"audio_seconds": 90.0}, Decimal("0.15")),
        ({"characters": 1234}, Decimal("0.01234")),
        ({"input_tokens": 10, "output_tokens": 10}, None),
        ({}, None),
    ],
)
def test_a_call_costs_what_the_days_prices_say_and_is_unknown_without_one(make_call, model, counts, cost):
    make_call("req-1", recorder.Outcome("success", 200, model=model, **counts))
    assert UsageRecord.objects.get().cost_usd == cost
    assert set(MonthlySpend.objects.values_list("spent_usd", "unknown")) == {(cost or 0, int(cost is None))}


def test_a_call_that_no_model_served_cost_nothing(make_call):
    make_call("req-1", recorder.Outcome("failed", 502, reason="server_error", audio_seconds=60.0))
    assert UsageRecord.objects.get().cost_usd == 0


def test_a_record_has_no_place_for_audio_texts_or_keys():
    roomy = (TextField, BinaryField, FileField, JSONField)
    fields = UsageRecord._meta.concrete_fields
    assert [field.name for field in fields if isinstance(field, roomy)] == []
    assert [f.name for f in fields if (f.max_length or 0) > 128] == ["key_name", "model_name", "served_by"]
