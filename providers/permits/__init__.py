"""What a provider takes, over all processes of all machines together: calls at once, calls a minute, and pauses.

Whoever calls holds slots by a lease, a block at a time, and asks the database again a few times a second; no call
costs a statement of its own. Workers use `Share`, asyncio code `permits_for(provider).permit()`.
"""

from providers.permits.exchange import reopen
from providers.permits.live import PATIENCE, Permits, ProviderPaused, close_permits, permits_for
from providers.permits.share import Share
from providers.permits.words import why_closed, why_waiting

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
