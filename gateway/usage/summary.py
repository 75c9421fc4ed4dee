"""Totals of usage records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

SUMS = ["calls", "successes", "failed", "under_way", "unknown", "audio_seconds", "characters"]
SUMS += ["input_tokens", "output_tokens", "latency_sum", "cost_usd"]


@dataclass
class Total:
    """The totals of a day, a model, a key, or of all calls."""

    calls: int = 0
    successes: int = 0
    failed: int = 0  # including lost calls
    under_way: int = 0
    unknown: int = 0  # calls of unknown cost, which cost_usd lacks
    audio_seconds: float = 0.0
    characters: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_sum: float = 0.0
    cost_usd: Decimal = Decimal(0)

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> "Total":
        """Add up rows of `UsageRecordQuerySet.totals_by`."""
        total = cls()
        for line in lines:
            for name in SUMS:
                setattr(total, name, getattr(total, name) + (line[name] or 0))
        return total

    @property
    def known_cost(self) -> Decimal | None:
        """Cost in US dollars; None if the cost of no call is known."""
        return None if self.unknown and not self.cost_usd else self.cost_usd

    @property
    def mean_latency(self) -> float | None:
        """Mean latency of successful calls in seconds; None without any."""
        return self.latency_sum / self.successes if self.successes else None
