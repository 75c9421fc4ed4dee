"""What is wrong with a client's event."""


class ProtocolError(Exception):
    """The event is refused, nothing was changed, and the session goes on. `str(error)` is for the client."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param  # the field; those of a session's settings by their names here (dialects know theirs)
