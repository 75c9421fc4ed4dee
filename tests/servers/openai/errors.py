"""Errors as OpenAI answers them."""

import json

from tests.servers.http11 import Response

TYPES = {401: "invalid_request_error", 429: "requests", 500: "server_error", 503: "server_error"}


class OpenAIError(Exception):
    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def response(self) -> Response:
        return error_response(self.status, self.message, param=self.param, code=self.code)


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None, type: str = ""
) -> bytes:
    kind = type or TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


def error_response(
    status: int, message: str, *, param: str | None = None, code: str | None = None, type: str = ""
) -> Response:
    return Response(status, error_body(status, message, param=param, code=code, type=type))
