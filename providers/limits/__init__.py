"""What a provider takes, over all processes of all machines together: calls at once, calls a minute, and pauses.

Whoever calls holds slots by a lease, a block at a time, and asks the database again a few times a second; no call
costs a statement of its own. Workers use `SlotHolder`, asyncio code `limiter_for(provider).slot()`.
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
