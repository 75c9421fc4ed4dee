"""What the gateway answers when it does not let a call through."""

from collections.abc import Mapping


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A call is not let through; `message` says to the caller why, and what to do."""

    def __init__(
        self, status: int, code: str, message: str, *, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """`code` and `kind` (the error's type) as OpenAI names them."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind
        self.message = message
        self.headers = dict(headers or {})


def unavailable() -> Refused:
    """The database cannot be written to: nothing is called that could not be accounted for."""
    return Refused(
        503,
        "unavailable",
        "Usage cannot be recorded just now, so nothing was called. Try again in a few seconds.",
        kind="server_error",
        headers={"Retry-After": "2"},
    )
