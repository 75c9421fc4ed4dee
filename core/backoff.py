"""Waiting times between retries."""

import math
import random


def spread(seconds: float, low: float, high: float) -> float:
    """Return `seconds` times a random factor from `low` to `high`, so that retries do not coincide."""
    return seconds * random.uniform(low, high)  # noqa: S311 - no secret


def exponential_backoff(
    attempt: int, *, first: float, longest: float = math.inf, jitter: tuple[float, float] = (0.5, 1.5)
) -> float:
    """Return the seconds to wait after failed attempt number `attempt`, counted from 0: `first`, doubled with each
    attempt up to `longest`, then spread by `jitter`."""
    return spread(min(longest, first * 2.0 ** min(attempt, 60)), *jitter)
