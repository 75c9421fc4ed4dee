from decimal import Decimal

from gateway.models import UsageRecord
from gateway.usage import ledger


async def reserve_and_settle(call, outcome):
    reservation = await ledger.reserve(call)
    await ledger.settle(reservation, outcome)


def test_a_call_is_on_record_before_it_is_made(run, call, workspace):
    run(ledger.reserve(call("req-1")))
    record = UsageRecord.objects.get()
    assert (record.workspace, record.key_name, record.model_name) == (workspace, "ci", "acme/ears")
    assert (record.state, record.result, record.cost_usd) == ("reserved", "", None)


def test_a_settled_call_says_what_it_came_to(run, call, model):
    outcome = ledger.Outcome("success", 200, model=model, audio_seconds=30.0, latency=0.5, body_sha256="ab" * 32)
    run(reserve_and_settle(call("req-1"), outcome))
    record = UsageRecord.objects.get()
    assert (record.state, record.result, record.status, record.served_by) == ("settled", "success", 200, "acme/ears")
    assert record.cost_usd == Decimal("0.05")
    assert record.settled_at is not None
