"""Error responses of `/v1/`."""

from collections.abc import Mapping

from core.errors import EarshotError

INVALID = "invalid_request_error"


class ApiError(EarshotError):
    """An error response. The message is for people; it contains no audio, text or key but the caller's own."""

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
    """Return an error 400: the request is invalid."""
    return ApiError(400, message, param=param, code=code)


def unavailable() -> ApiError:
    """Return an error 503: the database does not answer, and no call is made that could not be recorded."""
    message = "Usage cannot be recorded just now, so nothing was called. Try again in a few seconds."
    return ApiError(503, message, kind="server_error", code="unavailable", headers={"Retry-After": "2"})
