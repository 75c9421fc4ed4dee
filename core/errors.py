"""What is refused, and why: one hierarchy for REST, `/v1/`, the admin and commands.

No Django here: the process that decodes audio imports this too.
"""


class EarshotError(Exception):
    """A request is refused. `message` tells people what is wrong and what to do."""

    status = 400  # of HTTP
    code = "invalid"  # for programs; in REST the end of `type`
    field: str | None = None  # name of the wrong field; "": the input as a whole, None: not the input

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if field is not None:
            self.field = field


class InvalidInput(EarshotError):  # noqa: N818 - the answer to a request, not a fault
    """The input is invalid."""

    field = ""


class Forbidden(EarshotError):  # noqa: N818 - the answer to a request, not a fault
    """The caller is not allowed to do this."""

    status = 403
    code = "permission_denied"


class Conflict(EarshotError):  # noqa: N818 - the answer to a request, not a fault
    """The current state of the object does not allow this."""

    status = 409
    code = "conflict"


class AlreadyExists(Conflict):
    """An object of this name exists already."""

    code = "invalid"
