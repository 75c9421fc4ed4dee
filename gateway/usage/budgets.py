"""Monthly spending of workspaces and API keys, and the check against their budgets."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from core.sql import Select, update_rows
from gateway.errors import ApiError
from gateway.models import Budget, MonthlySpend
from providers.pricing import SMALLEST

SUMS = ("spent_usd", "reserved_usd", "calls", "unknown")


@dataclass(frozen=True, slots=True)
class Account:
    """Identifies a row of `MonthlySpend`: a month of a workspace or, with `api_key_id`, of one of its keys."""

    workspace_id: int
    api_key_id: int | None
    month: date


def month_of(at: datetime) -> date:
    """Return the first day of the calendar month (UTC) of `at`."""
    return at.astimezone(UTC).date().replace(day=1)


def month_named(text: str) -> date:
    """Parse a month such as 2026-11; returns its first day. Raises ValueError."""
    month = date.fromisoformat(f"{text}-01")
    if month.year == MAXYEAR:
        raise ValueError("no month follows the last one")
    return month


def accounts_of(workspace_id: int, api_key_id: int | None, at: datetime) -> list[Account]:
    """Return the accounts that a call at this moment counts for: the workspace's, then the key's."""
    month = month_of(at)
    return [Account(workspace_id, key, month) for key in ([None] if api_key_id is None else [None, api_key_id])]


@dataclass(slots=True)
class Spent:
    """The values of an account's row."""

    row_id: int
    spent_usd: Decimal
    reserved_usd: Decimal
    calls: int
    unknown: int

    @property
    def average_call(self) -> Decimal | None:
        """Mean cost of a call in US dollars; None before the first call of known cost."""
        known = self.calls - self.unknown
        return (self.spent_usd / known).quantize(SMALLEST) if known else None

    def leaves(self, budget: Decimal, estimate: Decimal) -> bool:
        """Whether a call that may cost `estimate` (US dollars) is within the budget."""
        used = self.spent_usd + self.reserved_usd
        return used < budget and used + estimate <= budget


class Spending:
    """The locked rows of some accounts, changed and then saved in one transaction."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._rows = _locked(set(accounts))
        self._budgets: dict[tuple[int, int | None], Decimal] | None = None

    def problem(self, accounts: Iterable[Account], estimate: Decimal) -> ApiError | None:
        """Return the error for a call that may cost `estimate` (US dollars); None if it is within all budgets."""
        if self._budgets is None:
            self._budgets = _budgets_of(self._rows)
        for account in accounts:
            budget = self._budgets.get((account.workspace_id, account.api_key_id))
            if budget is not None and not self._rows[account].leaves(budget, estimate):
                return _over_budget(account, budget, self._rows[account])
        return None

    def average_call(self, accounts: Iterable[Account]) -> Decimal:
        """Return the mean cost of a call this month in US dollars: the key's, else the workspace's, else 0."""
        means = [mean for account in accounts if (mean := self._rows[account].average_call) is not None]
        return means[-1] if means else Decimal(0)

    def hold(self, accounts: Iterable[Account], usd: Decimal) -> None:
        """Reserve `usd` for a call that is about to be made."""
        for account in accounts:
            self._rows[account].reserved_usd += usd

    def settle(self, accounts: Iterable[Account], held: Decimal, cost: Decimal | None) -> None:
        """Replace the reservation `held` by the cost of the finished call; None: unknown."""
        for account in accounts:
            row = self._rows[account]
            row.reserved_usd -= held
            row.calls += 1
            row.spent_usd += cost or 0
            row.unknown += cost is None

    def correct(self, accounts: Iterable[Account], cost: Decimal | None) -> None:
        """Add the cost of a call that was counted as lost, at an unknown cost, and has finished after all."""
        for account in accounts:
            row = self._rows[account]
            row.spent_usd += cost or 0
            row.unknown -= cost is not None

    def save(self) -> None:
        rows = self._rows.values()
        update_rows(
            MonthlySpend,
            SUMS,
            [(row.spent_usd, row.reserved_usd, row.calls, row.unknown, row.row_id) for row in rows],
        )


def over_budget(accounts: Iterable[Account]) -> dict[Account, ApiError]:
    """Return the error for each account whose budget is used up. Reads without locks."""
    wanted = set(accounts)
    budgets = _budgets_of(wanted)
    if not budgets:
        return {}
    months = {account.month for account in wanted}
    rows = MonthlySpend.objects.filter(_matching(wanted), month__in=months)
    spent = {
        Account(workspace_id, api_key_id, month): Spent(*sums)
        for workspace_id, api_key_id, month, *sums in rows.values_list("workspace", "api_key", "month", "pk", *SUMS)
    }
    exceeded = {}
    for account in wanted:
        budget = budgets.get((account.workspace_id, account.api_key_id))
        row = spent.get(account, Spent(0, Decimal(0), Decimal(0), 0, 0))
        if budget is not None and not row.leaves(budget, Decimal(0)):
            exceeded[account] = _over_budget(account, budget, row)
    return exceeded


def with_spending(budgets: QuerySet[Budget], month: date) -> QuerySet[Budget]:
    """Annotate `spent_usd`, `reserved_usd` and `unknown` (calls of unknown cost) of the month that begins on
    `month`."""
    rows = MonthlySpend.objects.filter(month=month)
    of_key = rows.filter(api_key=OuterRef("api_key"))
    of_workspace = rows.filter(api_key=None, workspace=OuterRef("workspace"))

    def sum_of(name: str) -> Coalesce:
        whose = Case(When(api_key=None, then=Subquery(of_workspace.values(name))), default=of_key.values(name))
        return Coalesce(whose, nothing[name])

    nothing = {"spent_usd": Decimal(0), "reserved_usd": Decimal(0), "unknown": 0}
    return budgets.annotate(**{name: sum_of(name) for name in nothing})


# Ordered by id: processes that lock the same rows cannot deadlock.
_lock_rows = Select(
    lambda ids: MonthlySpend.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk", *SUMS)
)
_read_budgets = Select(
    lambda ids: Budget.objects.filter(workspace__in=ids).values_list("workspace", "api_key", "monthly_usd")
)
_row_ids: dict[Account, int] = {}  # cache of the ids of rows
MOST_CACHED = 10_000


def _locked(accounts: set[Account]) -> dict[Account, Spent]:
    if not accounts.issubset(_row_ids):
        _load_row_ids(accounts)
    rows = {row[0]: Spent(*row) for row in _lock_rows.rows([_row_ids[account] for account in accounts])}
    if len(rows) < len(accounts):  # some were deleted meanwhile
        _load_row_ids(accounts)
        rows = {row[0]: Spent(*row) for row in _lock_rows.rows([_row_ids[account] for account in accounts])}
    return {account: rows[_row_ids[account]] for account in accounts}


def _load_row_ids(accounts: set[Account]) -> None:
    """Cache the ids of the accounts' rows; creates missing rows."""
    if len(_row_ids) > MOST_CACHED:
        _row_ids.clear()
    new = [MonthlySpend(workspace_id=a.workspace_id, api_key_id=a.api_key_id, month=a.month) for a in accounts]
    MonthlySpend.objects.bulk_create(sorted(new, key=_order), ignore_conflicts=True)
    rows = MonthlySpend.objects.filter(_matching(accounts), month__in={account.month for account in accounts})
    for workspace_id, api_key_id, month, row_id in rows.values_list("workspace", "api_key", "month", "pk"):
        _row_ids[Account(workspace_id, api_key_id, month)] = row_id


def _order(row: MonthlySpend) -> tuple[int, int]:
    return row.workspace_id, row.api_key_id or 0


def _matching(accounts: Iterable[Account]) -> Q:
    workspaces = {account.workspace_id for account in accounts if account.api_key_id is None}
    keys = {account.api_key_id for account in accounts if account.api_key_id is not None}
    return Q(api_key=None, workspace__in=workspaces) | Q(api_key__in=keys)


def _budgets_of(accounts: Iterable[Account]) -> dict[tuple[int, int | None], Decimal]:
    rows = _read_budgets.rows({account.workspace_id for account in accounts})
    return {(workspace_id, api_key_id): usd for workspace_id, api_key_id, usd in rows}


def _over_budget(account: Account, budget: Decimal, row: Spent) -> ApiError:
    whose = "this workspace" if account.api_key_id is None else "this API key"
    next_month = (account.month + timedelta(days=31)).replace(day=1)
    return ApiError(
        402,
        f"The budget of {whose}, ${budget:.2f} a month, leaves nothing for this call: ${row.spent_usd:.4f} spent in "
        f"{account.month:%B}, ${row.reserved_usd:.4f} held for calls under way. An owner can raise it under Budgets in "
        f"the admin; a new month begins on {next_month:%B} 1 (UTC).",
        kind="insufficient_quota",
        code="budget_exceeded",
    )
