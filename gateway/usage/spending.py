"""What workspaces and keys have spent this month, and whether that is within their budgets."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import Q, QuerySet

from gateway.models import Budget, MonthlySpend
from gateway.refused import Refused
from gateway.usage.statements import update_rows

COUNTS = ["spent_usd", "reserved_usd", "calls", "unknown"]


@dataclass(frozen=True, slots=True)
class Account:
    """Whose spending: a workspace's, or that of one of its keys."""

    workspace_id: int
    api_key_id: int | None
    month: date


def month_of(at: datetime) -> date:
    """The first day of its calendar month (UTC)."""
    return at.astimezone(UTC).date().replace(day=1)


def accounts_of(workspace_id: int, api_key_id: int | None, at: datetime) -> list[Account]:
    """Those that a call of this moment counts for: the workspace's first."""
    month = month_of(at)
    return [Account(workspace_id, key, month) for key in ([None] if api_key_id is None else [None, api_key_id])]


class Spending:
    """The rows of some accounts, locked: to be read, changed and saved in one transaction."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        wanted = set(accounts)
        self._rows = _by_account(_rows_of(wanted).select_for_update())
        missing = wanted - set(self._rows)
        if missing:
            MonthlySpend.objects.bulk_create(
                [MonthlySpend(workspace_id=a.workspace_id, api_key_id=a.api_key_id, month=a.month) for a in missing],
                ignore_conflicts=True,
            )
            self._rows = _by_account(_rows_of(wanted).select_for_update())
        self._budgets = _budgets_of(wanted)

    def refusal(self, accounts: Iterable[Account], estimate: Decimal) -> Refused | None:
        """Why a call that may cost `estimate` is not let through; None where it is."""
        for account in accounts:
            budget = self._budgets.get((account.workspace_id, account.api_key_id))
            if budget is not None and _is_beyond(budget, self._rows[account], estimate):
                return _refused(account, budget, self._rows[account])
        return None

    def average_call(self, accounts: Iterable[Account]) -> Decimal:
        """US dollars that a call of this month came to, by the key's where it has any; 0 before the first."""
        means = [mean for account in accounts if (mean := self._rows[account].average_call) is not None]
        return means[-1] if means else Decimal(0)

    def hold(self, accounts: Iterable[Account], usd: Decimal) -> None:
        """A call is under way."""
        for account in accounts:
            self._rows[account].reserved_usd += usd

    def settle(self, accounts: Iterable[Account], held: Decimal, cost: Decimal | None) -> None:
        """A call is over: what was held for it is free, what it cost is spent."""
        for account in accounts:
            row = self._rows[account]
            row.reserved_usd -= held
            row.calls += 1
            row.spent_usd += cost or 0
            row.unknown += cost is None

    def correct(self, accounts: Iterable[Account], cost: Decimal | None) -> None:
        """A call that was taken for lost, at an unknown cost, has ended after all."""
        for account in accounts:
            row = self._rows[account]
            row.spent_usd += cost or 0
            row.unknown -= cost is not None

    def save(self) -> None:
        rows = self._rows.values()
        update_rows(MonthlySpend, COUNTS, [(row.pk, [getattr(row, name) for name in COUNTS]) for row in rows])


def over_budget(accounts: Iterable[Account]) -> dict[Account, Refused]:
    """Those of the accounts whose budget is used up, as things stand; nothing is locked."""
    wanted = set(accounts)
    budgets = _budgets_of(wanted)
    if not budgets:
        return {}
    rows = _by_account(_rows_of(wanted))
    nothing = MonthlySpend()
    beyond = {}
    for account in wanted:
        budget = budgets.get((account.workspace_id, account.api_key_id))
        row = rows.get(account, nothing)
        if budget is not None and _is_beyond(budget, row, Decimal(0)):
            beyond[account] = _refused(account, budget, row)
    return beyond


def _rows_of(accounts: set[Account]) -> QuerySet[MonthlySpend]:
    """Always in the same order: processes that lock them wait for each other, but never in a ring."""
    months = {account.month for account in accounts}
    workspaces = {account.workspace_id for account in accounts if account.api_key_id is None}
    keys = {account.api_key_id for account in accounts if account.api_key_id is not None}
    whose = Q(api_key=None, workspace__in=workspaces) | Q(api_key__in=keys)
    return MonthlySpend.objects.filter(whose, month__in=months).order_by("pk")


def _by_account(rows: Iterable[MonthlySpend]) -> dict[Account, MonthlySpend]:
    return {Account(row.workspace_id, row.api_key_id, row.month): row for row in rows}


def _budgets_of(accounts: set[Account]) -> dict[tuple[int, int | None], Decimal]:
    budgets = Budget.objects.filter(workspace__in={account.workspace_id for account in accounts})
    return {
        (workspace_id, api_key_id): usd
        for workspace_id, api_key_id, usd in budgets.values_list("workspace_id", "api_key_id", "monthly_usd")
    }


def _is_beyond(budget: Decimal, row: MonthlySpend, estimate: Decimal) -> bool:
    used = row.spent_usd + row.reserved_usd
    return used >= budget or used + estimate > budget


def _refused(account: Account, budget: Decimal, row: MonthlySpend) -> Refused:
    whose = "this workspace" if account.api_key_id is None else "this API key"
    next_month = (account.month + timedelta(days=31)).replace(day=1)
    return Refused(
        402,
        "budget_exceeded",
        f"The budget of {whose}, ${budget:.2f} a month, leaves nothing for this call: ${row.spent_usd:.4f} spent in "
        f"{account.month:%B}, ${row.reserved_usd:.4f} held for calls under way. An owner can raise it under Budgets in "
        f"the admin; a new month begins on {next_month:%B} 1 (UTC).",
        kind="insufficient_quota",
    )
