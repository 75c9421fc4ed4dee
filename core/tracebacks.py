"""Tracebacks for the log, without the text of exceptions."""

import traceback


def place_of(error: BaseException) -> str:
    """Return the traceback of `error` without its message, which may quote a transcript or a request."""
    return "".join(traceback.format_tb(error.__traceback__))
