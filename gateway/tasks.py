"""Tasks of the workers. They may be delivered more than once, also concurrently."""

from gateway.usage.sweep import settle_lost


def sweep() -> None:
    """Settle the calls of processes that died."""
    settle_lost()
