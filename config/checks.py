"""System checks of settings that depend on each other."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def queue_times_fit(**kwargs: Any) -> list[CheckMessage]:
    """Check that a task ends before the queue kills it, and is killed before the queue delivers it again."""
    errors: list[CheckMessage] = []
    if 2 * settings.Q_TIMEOUT >= settings.Q_RETRY:
        errors.append(
            Error(
                f"Q_RETRY ({settings.Q_RETRY} s) must be more than twice Q_TIMEOUT ({settings.Q_TIMEOUT} s).",
                hint="Otherwise the queue delivers a task again while it still runs. Raise Q_RETRY.",
                id="earshot.E001",
            )
        )
    if settings.SLICE_SECONDS + settings.CALL_TIMEOUT_SECONDS >= settings.Q_TIMEOUT:
        errors.append(
            Error(
                f"Q_TIMEOUT ({settings.Q_TIMEOUT} s) must be more than SLICE_SECONDS ({settings.SLICE_SECONDS} s) "
                f"and CALL_TIMEOUT_SECONDS ({settings.CALL_TIMEOUT_SECONDS} s) together.",
                hint="Raise Q_TIMEOUT (and Q_RETRY), or lower one of the others.",
                id="earshot.E002",
            )
        )
    return errors
