"""Reads and writes of usage records: many in one transaction, together with the monthly spending that they add to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.sql import Row, Select, insert_rows, update_rows
from core.text import storable
from gateway.errors import ApiError
from gateway.models import UsageRecord
from gateway.usage.budgets import Account, Spending, accounts_of
from gateway.usage.costs import cost_of
from gateway.usage.types import Call, Reservation, Settlement

Answer = Reservation | ApiError | bool
LONGEST_NAME = 200
RESERVED = (
    *("workspace", "api_key", "key_name", "model_name", "endpoint", "request_id", "session_id", "reserved_usd"),
    *("created_at", "expires_at", "state", "result", "reason", "served_by", "body_sha256"),
)
COPIED = (
    *("result", "status", "reason", "audio_seconds", "characters", "input_tokens", "output_tokens"),
    *("latency", "first_byte", "body_sha256"),
)
SETTLED = (*COPIED, "state", "model", "served_by", "cost_usd", "settled_at")
_copied = attrgetter(*COPIED)
_lock_records = Select(
    lambda ids: (
        UsageRecord.objects.select_for_update()
        .filter(pk__in=ids)
        .order_by("pk")
        .values_list("pk", "state", "result", "expires_at")
    )
)


@dataclass(frozen=True, eq=False, slots=True)
class PricedSettlement:
    """A settlement with the cost of its call."""

    settlement: Settlement
    cost: Decimal | None
    model_id: int | None
    served_by: str

    @classmethod
    def of(cls, settlement: Settlement) -> "PricedSettlement":
        outcome, model = settlement.outcome, settlement.outcome.model
        cost = cost_of(outcome, settlement.reservation.created_at.date())
        if model is None:
            return cls(settlement, cost, None, "")
        return cls(settlement, cost, model.pk, model.public_name)

    @property
    def record_id(self) -> int:
        return self.settlement.reservation.record_id

    def values(self, now: datetime) -> Row:
        """Return the values of the fields SETTLED, then the record's id."""
        copied = _copied(self.settlement.outcome)
        return *copied, UsageRecord.State.SETTLED, self.model_id, self.served_by, self.cost, now, self.record_id


def write(entries: Sequence[Call | Settlement]) -> list[Answer]:
    """Reserve the calls and write the settlements in one transaction. Returns a result for each entry, in order.

    For a call: its reservation, or the ApiError that refuses it. For a settlement: True if this settled the record,
    False if it was settled before. Raises IntegrityError if one of several entries cannot be written.
    """
    work = [entry if isinstance(entry, Call) else PricedSettlement.of(entry) for entry in entries]
    try:
        return _write(work)
    except IntegrityError:
        if len(work) > 1:
            raise
    if isinstance(work[0], Call):
        return [_request_id_taken()]
    return _write([replace(work[0], model_id=None)])  # the model was deleted meanwhile: keep its name only


def renew(reservations: Iterable[Reservation]) -> None:
    """Extend the expiry of calls that are still under way."""
    ids = [reservation.record_id for reservation in reservations]
    for start in range(0, len(ids), 500):
        some = UsageRecord.objects.under_way().filter(pk__in=ids[start : start + 500])
        some.update(expires_at=_expiry(timezone.now()))


@transaction.atomic
def _write(work: Sequence[Call | PricedSettlement]) -> list[Answer]:
    now = timezone.now()
    under_way, lost = _claim([entry for entry in work if isinstance(entry, PricedSettlement)], now)
    accounts = {entry: _accounts(entry, now) for entry in work}
    spending = Spending(account for each in accounts.values() for account in each)
    for entry in under_way:
        spending.settle(accounts[entry], entry.settlement.reservation.reserved_usd, entry.cost)
    for entry in lost:
        spending.correct(accounts[entry], entry.cost)
    settled = [*under_way, *lost]
    update_rows(UsageRecord, SETTLED, [entry.values(now) for entry in settled])
    calls = [entry for entry in work if isinstance(entry, Call)]
    reserved = _reserve({call: accounts[call] for call in calls}, spending, now)
    spending.save()
    ids = {entry.record_id for entry in settled}
    return [reserved[entry] if isinstance(entry, Call) else entry.record_id in ids for entry in work]


def _claim(settlements: list[PricedSettlement], now: datetime) -> tuple[list[PricedSettlement], list[PricedSettlement]]:
    """Lock the records, and return the settlements to write: those of calls under way, and those of calls that the
    sweep had settled as lost but that have ended after all. A settlement as lost only counts if the record has
    expired."""
    ids = [entry.record_id for entry in settlements]
    if not ids:
        return [], []
    found = {row[0]: row[1:] for row in _lock_records.rows(ids)}
    under_way, lost = [], []
    for entry in settlements:
        state, result, expires_at = found.pop(entry.record_id, ("", "", now))  # a record is settled once
        gives_up = entry.settlement.outcome.result == UsageRecord.Result.LOST.value
        if state == UsageRecord.State.RESERVED and (expires_at < now or not gives_up):
            under_way.append(entry)
        elif result == UsageRecord.Result.LOST and not gives_up:
            lost.append(entry)
    return under_way, lost


def _reserve(calls: dict[Call, list[Account]], spending: Spending, now: datetime) -> dict[Call, Reservation | ApiError]:
    answers: dict[Call, Reservation | ApiError] = {}
    held: dict[Call, Decimal] = {}
    for call, accounts in calls.items():
        error = spending.problem(accounts, call.estimate_usd or Decimal(0))
        if error is not None:
            answers[call] = error
            continue
        held[call] = spending.average_call(accounts) if call.estimate_usd is None else call.estimate_usd
        spending.hold(accounts, held[call])
    ids = insert_rows(UsageRecord, RESERVED, [_values(call, usd, now) for call, usd in held.items()])
    for (call, usd), record_id in zip(held.items(), ids, strict=True):
        access = call.access
        answers[call] = Reservation(record_id, access.workspace.pk, access.api_key_id, now, usd)
    return answers


def _values(call: Call, held: Decimal, now: datetime) -> Row:
    """Return the values of the fields RESERVED."""
    access = call.access
    key_name = access.api_key.name if access.api_key else ""
    asked = (storable(call.model_name)[:LONGEST_NAME], call.endpoint, call.request_id, call.session_id)
    state = (UsageRecord.State.RESERVED, "", "", "", "")
    return access.workspace.pk, access.api_key_id, key_name, *asked, held, now, _expiry(now), *state


def _accounts(entry: Call | PricedSettlement, now: datetime) -> list[Account]:
    """Return the accounts of the month in which the call began."""
    if isinstance(entry, Call):
        return accounts_of(entry.access.workspace.pk, entry.access.api_key_id, now)
    reservation = entry.settlement.reservation
    return accounts_of(reservation.workspace_id, reservation.api_key_id, reservation.created_at)


def _expiry(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.USAGE_LEASE_SECONDS)


def _request_id_taken() -> ApiError:
    message = "A call with this x-request-id was made already. Send another one, or none."
    return ApiError(409, message, code="request_id_taken")
