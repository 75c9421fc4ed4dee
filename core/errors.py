"""What is refused, and why: one hierarchy for REST, `/v1/`, the admin and commands.

No Django here: the process that decodes audio imports this too.
"""


class EarshotError(Exception):
    """What was asked for is not done. `message` tells a person what was wrong and what to do."""

    status = 400  # of HTTP
    code = "invalid"  # for programs; in REST, what `type` ends in
    field: str | None = None  # which one is at fault: "" the input as a whole, None nothing of the input

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if field is not None:
            self.field = field


class InvalidInput(EarshotError):  # noqa: N818 - the answer to a request, not a fault
    """What was given cannot be taken."""

    field = ""


class Forbidden(EarshotError):  # noqa: N818 - the answer to a request, not a fault
    """Whoever asks may not have it done."""

    status = 403
    code = "permission_denied"


class Conflict(EarshotError):  # noqa: N818 - the answer to a request, not a fault
    """The state of what there is stands in the way."""

    status = 409
    code = "conflict"


class AlreadyExists(Conflict):
    """There is one already."""

    code = "invalid"
