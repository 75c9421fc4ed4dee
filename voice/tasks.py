"""The queue's tasks for voice sessions. A task may run more than once, also at the same time."""

from voice.session_store import end_lost_sessions


def sweep() -> None:
    """End the sessions whose process died."""
    end_lost_sessions()
