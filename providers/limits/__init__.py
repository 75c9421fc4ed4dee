"""What a provider takes, over all processes of all machines together: calls at once, calls a minute, and pauses.

Whoever calls holds slots by a lease, a block at a time, and asks the database again a few times a second; no call
costs a statement of its own. Workers use `Share`, asyncio code `permits_for(provider).permit()`.
"""

from providers.limits.allocation import reopen
from providers.limits.async_limiter import (
    PATIENCE,
    Permits,
    ProviderPaused,
    close_permits,
    permits_for,
    why_closed,
    why_waiting,
)
from providers.limits.holder import Share

__all__ = [
    "PATIENCE",
    "Permits",
    "ProviderPaused",
    "Share",
    "close_permits",
    "permits_for",
    "reopen",
    "why_closed",
    "why_waiting",
]
