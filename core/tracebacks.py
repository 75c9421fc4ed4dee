"""What went wrong in our own code, as the log may tell it."""

import traceback


def place_of(error: BaseException) -> str:
    """The lines of code that raised it. Its own text is never logged: it may hold what was said or sent."""
    return "".join(traceback.format_tb(error.__traceback__))
