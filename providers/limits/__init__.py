"""Limits of calls to a provider, shared by all processes on all machines: concurrency, calls a minute, back-off and
circuit breaker.

A process leases slots from the database in blocks and renews the lease a few times a second, so that a single call
needs no SQL statement. Workers use `SlotHolder`, asyncio code `limiter_for(provider).slot()`.
"""

from providers.limits.allocation import reopen
from providers.limits.async_limiter import (
    PATIENCE,
    AsyncLimiter,
    ProviderPaused,
    close_limiters,
    limiter_for,
    why_closed,
    why_waiting,
)
from providers.limits.holder import SlotHolder

__all__ = [
    "PATIENCE",
    "AsyncLimiter",
    "ProviderPaused",
    "SlotHolder",
    "close_limiters",
    "limiter_for",
    "reopen",
    "why_closed",
    "why_waiting",
]
