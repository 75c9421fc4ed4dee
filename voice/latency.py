"""What sessions came to: their turns, and how long clients waited for the first audio of answers."""

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
    delays: list[float] = field(default_factory=list)  # seconds, of the answers that were spoken

    @property
    def p50(self) -> float | None:
        return percentile(self.delays, 0.5)

    @property
    def p95(self) -> float | None:
        return percentile(self.delays, 0.95)


def percentile(values: Sequence[float], share: float) -> float | None:
    """By the nearest rank: a value that there is. None where there is none."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)] if values else None


def with_tallies(sessions: Sequence[RealtimeSession]) -> list[Any]:
    """The sessions, each with its `tally`."""
    found = tallies(sessions)
    tallied: list[Any] = list(sessions)
    for session in tallied:
        session.tally = found[session.pk]
    return tallied


def tallies(sessions: Collection[RealtimeSession]) -> dict[int, LatencyStats]:
    """Of each session by its id, in one query."""
    found: dict[int, LatencyStats] = defaultdict(LatencyStats)
    turns = RealtimeTurn.objects.filter(session__in=[session.pk for session in sessions])
    for session_id, status, delay in turns.values_list("session_id", "status", "delay"):
        tally = found[session_id]
        tally.turns += 1
        tally.failed += status == RealtimeTurn.Status.FAILED
        if delay is not None:
            tally.delays.append(delay)
    return found
