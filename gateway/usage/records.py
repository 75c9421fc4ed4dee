"""Usage records: written and settled many at once, in one transaction with the spending that they add to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from gateway.models import UsageRecord
from gateway.refused import Refused
from gateway.usage.calls import Call, Reservation, Settlement
from gateway.usage.costs import cost_of
from gateway.usage.spending import Account, Spending, accounts_of
from gateway.usage.statements import update_rows

Answer = Reservation | Refused | bool
LONGEST_NAME = 200
COPIED = ["result", "status", "reason", "audio_seconds", "characters", "input_tokens", "output_tokens"]
COPIED += ["latency", "first_byte", "body_sha256"]
SETTLED = [*COPIED, "state", "model", "served_by", "cost_usd", "settled_at"]


@dataclass(frozen=True, eq=False, slots=True)
class Ended:
    """A settlement with its price."""

    settlement: Settlement
    cost: Decimal | None
    model_id: int | None
    served_by: str

    @classmethod
    def of(cls, settlement: Settlement) -> "Ended":
        outcome, model = settlement.outcome, settlement.outcome.model
        cost = cost_of(outcome, settlement.reservation.created_at.date())
        if model is None:
            return cls(settlement, cost, None, "")
        return cls(settlement, cost, model.pk, model.public_name)

    @property
    def record_id(self) -> int:
        return self.settlement.reservation.record_id

    def values(self, now: datetime) -> list[Any]:
        """Of the fields SETTLED."""
        copied = [getattr(self.settlement.outcome, name) for name in COPIED]
        return [*copied, UsageRecord.State.SETTLED, self.model_id, self.served_by, self.cost, now]


def write(entries: Sequence[Call | Settlement]) -> list[Answer]:
    """Reserve every call and settle every settlement, all in one transaction; answers in their order.

    A call is answered with its reservation, or with why it is refused; a settlement with True where this settled it,
    False where it was settled before. Raises IntegrityError where one of several cannot be written.
    """
    work = [entry if isinstance(entry, Call) else Ended.of(entry) for entry in entries]
    try:
        return _write(work)
    except IntegrityError:
        if len(work) > 1:
            raise
    if isinstance(work[0], Call):
        return [_request_id_taken()]
    return _write([replace(work[0], model_id=None)])  # the model was deleted meanwhile


def renew(reservations: Iterable[Reservation]) -> None:
    """Keep calls that are still under way from expiring."""
    ids = [reservation.record_id for reservation in reservations]
    for start in range(0, len(ids), 500):
        some = UsageRecord.objects.under_way().filter(pk__in=ids[start : start + 500])
        some.update(expires_at=_expiry(timezone.now()))


@transaction.atomic
def _write(work: Sequence[Call | Ended]) -> list[Answer]:
    now = timezone.now()
    under_way, lost = _claim([entry for entry in work if isinstance(entry, Ended)], now)
    spending = Spending(account for entry in work for account in _accounts(entry, now))
    for entry in under_way:
        spending.settle(_accounts(entry, now), entry.settlement.reservation.reserved_usd, entry.cost)
    for entry in lost:
        spending.correct(_accounts(entry, now), entry.cost)
    settled = [*under_way, *lost]
    update_rows(UsageRecord, SETTLED, [(entry.record_id, entry.values(now)) for entry in settled])
    reserved = _reserve([entry for entry in work if isinstance(entry, Call)], spending, now)
    spending.save()
    ids = {entry.record_id for entry in settled}
    return [reserved[entry] if isinstance(entry, Call) else entry.record_id in ids for entry in work]


def _claim(ended: list[Ended], now: datetime) -> tuple[list[Ended], list[Ended]]:
    """Lock the records that are still to be settled: those of calls under way, and of calls that were given up for
    lost but have ended after all. A call is only lost as long as nobody has renewed it."""
    ids = [entry.record_id for entry in ended]
    if not ids:
        return [], []
    locked = UsageRecord.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    found = {pk: rest for pk, *rest in locked.values_list("pk", "state", "result", "expires_at")}
    under_way, lost = [], []
    for entry in ended:
        state, result, expires_at = found.pop(entry.record_id, ("", "", now))  # only the first of several counts
        gives_up = entry.settlement.outcome.result == UsageRecord.Result.LOST
        if state == UsageRecord.State.RESERVED and (expires_at < now or not gives_up):
            under_way.append(entry)
        elif result == UsageRecord.Result.LOST and not gives_up:
            lost.append(entry)
    return under_way, lost


def _reserve(calls: list[Call], spending: Spending, now: datetime) -> dict[Call, Reservation | Refused]:
    answers: dict[Call, Reservation | Refused] = {}
    records: dict[Call, UsageRecord] = {}
    for call in calls:
        accounts = _accounts(call, now)
        refused = spending.refusal(accounts, call.estimate_usd or Decimal(0))
        if refused is not None:
            answers[call] = refused
            continue
        held = spending.average_call(accounts) if call.estimate_usd is None else call.estimate_usd
        spending.hold(accounts, held)
        records[call] = _record(call, held, now)
    UsageRecord.objects.bulk_create(records.values())
    return answers | {call: _reservation(record) for call, record in records.items()}


def _record(call: Call, held: Decimal, now: datetime) -> UsageRecord:
    api_key = call.access.api_key
    return UsageRecord(
        workspace_id=call.access.workspace.pk,
        api_key_id=call.access.api_key_id,
        key_name=api_key.name if api_key else "",
        model_name=_printable(call.model_name)[:LONGEST_NAME],
        endpoint=call.endpoint,
        request_id=call.request_id,
        session_id=call.session_id,
        reserved_usd=held,
        created_at=now,
        expires_at=_expiry(now),
    )


def _reservation(record: UsageRecord) -> Reservation:
    return Reservation(record.pk, record.workspace_id, record.api_key_id, record.created_at, record.reserved_usd)


def _accounts(entry: Call | Ended, now: datetime) -> list[Account]:
    """Those of the month in which the call began."""
    if isinstance(entry, Call):
        return accounts_of(entry.access.workspace.pk, entry.access.api_key_id, now)
    reservation = entry.settlement.reservation
    return accounts_of(reservation.workspace_id, reservation.api_key_id, reservation.created_at)


def _printable(text: str) -> str:
    """Without what no database takes: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _expiry(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.USAGE_LEASE_SECONDS)


def _request_id_taken() -> Refused:
    return Refused(
        409,
        "request_id_taken",
        "A call with this x-request-id was made already. Send another one, or none.",
        kind="invalid_request_error",
    )
