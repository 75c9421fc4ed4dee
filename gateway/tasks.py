"""What workers do for the gateway. Each function may be delivered more than once, and more than once at a time."""

from gateway.realtime.records import end_lost_sessions
from gateway.usage.sweep import settle_lost


def sweep() -> None:
    """Settle the calls, and end the voice sessions, that were left under way by processes that died."""
    settle_lost()
    end_lost_sessions()
