"""What was used in a month: totals, charts by day, and tables by model and by key."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from accounts.models import ApiKey, Workspace
from core.text import id_in
from gateway.models import UsageRecord, UsageRecordQuerySet
from gateway.usage.budgets import month_named, month_of
from gateway.usage.summary import Total
from providers.models import SpeechModel

MONTHS = 12
MOST_SERIES = 5  # of a chart; what is left is drawn as one
COLORS = ["#8b5cf6", "#0891b2", "#d97706", "#16a34a", "#db2777", "#2563eb", "#84cc16", "#ef4444"]  # in light and dark
GREY = "#64748b"  # of what is drawn as one
INK = "#94a3b8"
NO_MODEL, NO_KEY, OTHERS = "no model", "no key", "others"

Line = dict[str, Any]  # of UsageRecordQuerySet.totals_by


@dataclass(frozen=True)
class Series:
    name: str
    color: str
    values: list[float]  # a day each

    @property
    def total(self) -> float:
        return sum(self.values)


@dataclass(frozen=True)
class Chart:
    title: str
    days: list[date]
    series: list[Series]

    @property
    def data(self) -> str:
        """For Chart.js, as JSON."""
        labels = [f"{day:%b} {day.day}" for day in self.days]
        bars = [
            {"label": each.name, "data": [round(value, 6) for value in each.values], "backgroundColor": each.color}
            for each in self.series
        ]
        return json.dumps({"labels": labels, "datasets": bars})

    options = json.dumps(
        {
            "animation": False,
            "maintainAspectRatio": False,
            "maxBarThickness": 18,
            "plugins": {"legend": {"display": False}},
            "scales": {
                "x": {"stacked": True, "grid": {"display": False}, "ticks": {"color": INK, "maxRotation": 0}},
                "y": {"stacked": True, "beginAtZero": True, "ticks": {"color": INK, "maxTicksLimit": 5}},
            },
        }
    )


@dataclass(frozen=True)
class Chosen:
    """What the page is narrowed to; what is not an own key or model is left out."""

    month: date
    key: ApiKey | None
    model: SpeechModel | None

    @classmethod
    def of(cls, workspace: Workspace, asked: Mapping[str, str], now: datetime) -> "Chosen":
        month = month_of(now)
        with suppress(ValueError):
            month = month_named(asked.get("month", ""))
        keys, models = ApiKey.objects.for_workspace(workspace), SpeechModel.objects.for_workspace(workspace)
        key, model = (id_in(asked.get(name, "")) or 0 for name in ("key", "model"))
        return cls(month, keys.filter(pk=key).first(), models.filter(pk=model).first())

    def records(self, workspace: Workspace) -> UsageRecordQuerySet:
        records = UsageRecord.objects.for_workspace(workspace).in_month(self.month)
        if self.key:
            records = records.filter(api_key=self.key)
        return records.filter(model=self.model) if self.model else records


def usage_context(workspace: Workspace, asked: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """All that the page shows of `workspace`, narrowed to `asked`: month (2026-11), key and model (their ids)."""
    chosen = Chosen.of(workspace, asked, now)
    lines = list(chosen.records(workspace).totals_by("day", "model", "key"))
    for line in lines:
        line["name"] = line["name"] or NO_MODEL
        line["caller"] = line["caller"] or NO_KEY
    return {
        "chosen": chosen,
        "months": months_until(month_of(now)),
        "keys": ApiKey.objects.for_workspace(workspace).order_by("name"),
        "models": SpeechModel.objects.for_workspace(workspace).select_related("provider"),
        "total": Total.of(lines),
        "charts": _charts(lines, _days(chosen.month, now)),
        "tables": [("By model", "Model", _totals(lines, "name")), ("By key", "API key", _totals(lines, "caller"))],
    }


def months_until(month: date) -> list[date]:
    """The first days of the last MONTHS months, the latest first."""
    months = [month]
    while len(months) < MONTHS:
        months.append((months[-1] - timedelta(days=1)).replace(day=1))
    return months


def _days(month: date, now: datetime) -> list[date]:
    """Those of the month that have begun; all of them where it is over."""
    following = (month + timedelta(days=31)).replace(day=1)
    last = min(following - timedelta(days=1), max(now.astimezone(UTC).date(), month))
    return [month + timedelta(days=day) for day in range((last - month).days + 1)]


def _totals(lines: Iterable[Line], column: str) -> list[tuple[str, Total]]:
    """By a column's values, those with the most calls first."""
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line[column]].append(line)
    totals = [(name, Total.of(group)) for name, group in groups.items()]
    return sorted(totals, key=lambda total: -total[1].calls)


def _charts(lines: list[Line], days: list[date]) -> list[Chart]:
    def minutes(line: Line) -> float:
        return (line["audio_seconds"] or 0) / 60

    def dollars(line: Line) -> float:
        return float(line["cost_usd"] or 0)

    def chart(title: str, column: str, value: Callable[[Line], float]) -> Chart:
        return _chart(title, days, lines, column, value)

    return [
        chart("Calls a day, by model", "name", lambda line: line["calls"]),
        chart("Calls a day, by key", "caller", lambda line: line["calls"]),
        chart("US dollars a day, by model", "name", dollars),
        chart("Minutes of audio a day, by model", "name", minutes),
        chart("Characters spoken a day, by model", "name", lambda line: line["characters"] or 0),
        chart("Failed or lost calls a day, by model", "name", lambda line: line["failed"]),
    ]


def _colors(lines: list[Line], column: str) -> dict[str, str]:
    """One for each of the column's values, the same in every chart: those with the most calls choose first."""
    names = [name for name, _ in _totals(lines, column)]
    return {name: COLORS[index % len(COLORS)] for index, name in enumerate(names)} | {OTHERS: GREY}


def _chart(title: str, days: list[date], lines: list[Line], column: str, value: Callable[[Line], float]) -> Chart:
    """Bars by day of the largest of the column's values; the others are drawn as one."""
    sums: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    for line in lines:
        if value(line):
            sums[line[column]][line["day"]] += value(line)
    largest = sorted(sums, key=lambda name: -sum(sums[name].values()))
    for name in largest[MOST_SERIES:]:
        for day, amount in sums[name].items():
            sums[OTHERS][day] += amount
    shown = largest[:MOST_SERIES] + ([OTHERS] if OTHERS in sums else [])
    colors = _colors(lines, column)
    return Chart(title, days, [Series(name, colors[name], [sums[name][day] for day in days]) for name in shown])
