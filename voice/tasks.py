"""What workers do for voice sessions. It may be delivered more than once, and more than once at a time."""

from voice.session_store import end_lost_sessions


def sweep() -> None:
    """End the sessions that were left open by processes that died."""
    end_lost_sessions()
