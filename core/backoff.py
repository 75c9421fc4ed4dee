"""How long to wait before something is tried again."""

import math
import random


def spread(seconds: float, low: float, high: float) -> float:
    """`seconds` times a random factor from `low` to `high`: those who wait do not all come back at once."""
    return seconds * random.uniform(low, high)  # noqa: S311 - no secret


def exponential_backoff(
    attempt: int, *, first: float, longest: float = math.inf, jitter: tuple[float, float] = (0.5, 1.5)
) -> float:
    """Seconds after the failed try number `attempt`, counted from 0: `first`, doubled with each one up to `longest`,
    then spread by `jitter`."""
    return spread(min(longest, first * 2.0 ** min(attempt, 60)), *jitter)
