"""What `/v1/` answers where it does not do what was asked for."""

from collections.abc import Mapping

from core.errors import EarshotError

INVALID = "invalid_request_error"


class ApiError(EarshotError):
    """A call ends with this answer. The message is for a person, and holds no audio, text or key of anybody's but the
    caller's own."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`kind` (the error's type), `param` and `code` as OpenAI names them."""
        super().__init__(message, field=param)
        self.status = status
        self.kind = kind
        self.code = code
        self.headers = dict(headers or {})


def invalid(message: str, param: str | None = None, code: str = "") -> ApiError:
    """400: the caller's request cannot be served as it is."""
    return ApiError(400, message, param=param, code=code)


def unavailable() -> ApiError:
    """The database cannot be written to: nothing is called that could not be accounted for."""
    message = "Usage cannot be recorded just now, so nothing was called. Try again in a few seconds."
    return ApiError(503, message, kind="server_error", code="unavailable", headers={"Retry-After": "2"})
