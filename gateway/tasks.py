"""What workers do for the gateway. It may be delivered more than once, and more than once at a time."""

from gateway.usage.sweep import settle_lost


def sweep() -> None:
    """Settle the calls that were left under way by processes that died."""
    settle_lost()
