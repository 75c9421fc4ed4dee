"""Statistics of sessions: their turns, and the delay until the first audio of answers."""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from voice.models import RealtimeSession, RealtimeTurn


@dataclass
class LatencyStats:
    turns: int = 0
    failed: int = 0
    delays: list[float] = field(default_factory=list)  # seconds, of spoken answers

    @property
    def p50(self) -> float | None:
        return percentile(self.delays, 0.5)

    @property
    def p95(self) -> float | None:
        return percentile(self.delays, 0.95)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the percentile by the nearest-rank method; None without values. `share`: 0 to 1."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)] if values else None


def with_tallies(sessions: Sequence[RealtimeSession]) -> list[Any]:
    """Set `tally` on each session, and return the sessions."""
    found = tallies(sessions)
    tallied: list[Any] = list(sessions)
    for session in tallied:
        session.tally = found[session.pk]
    return tallied


def tallies(sessions: Collection[RealtimeSession]) -> dict[int, LatencyStats]:
    """Return each session's statistics by its id, in one query."""
    found: dict[int, LatencyStats] = defaultdict(LatencyStats)
    turns = RealtimeTurn.objects.filter(session__in=[session.pk for session in sessions])
    for session_id, status, delay in turns.values_list("session_id", "status", "delay"):
        tally = found[session_id]
        tally.turns += 1
        tally.failed += status == RealtimeTurn.Status.FAILED
        if delay is not None:
            tally.delays.append(delay)
    return found
