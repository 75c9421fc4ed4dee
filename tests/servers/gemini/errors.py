"""Errors in Google's own shape."""

import json
from typing import Any

from tests.servers.http11 import Response

STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
RPC_CODES = {400: 3, 403: 7, 404: 5, 409: 6, 429: 8, 499: 1, 500: 13, 503: 14, 504: 4}


class GoogleError(Exception):
    """An answer that is not 200."""

    def __init__(
        self, code: int, message: str, *, status: str = "", details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUSES.get(code, "UNKNOWN")
        self.details = details or []

    def response(self) -> Response:
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return Response(self.code, json.dumps({"error": error}).encode())

    def rpc_status(self) -> dict[str, Any]:
        """As it stands in a line of a result file, or in a batch: the code is gRPC's."""
        return {"code": RPC_CODES.get(self.code, 2), "message": self.message}


def quota_error(message: str, quota_id: str, retry_after: float) -> GoogleError:
    return GoogleError(
        429,
        message,
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaMetric": f"generativelanguage.googleapis.com/{quota_id}", "quotaId": quota_id}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after:g}s"},
        ],
    )


def missing_file(file_id: str, code: int = 403) -> GoogleError:
    if code == 404:
        return GoogleError(404, f"File {file_id} was not found.")
    return GoogleError(code, f"You do not have permission to access the File {file_id} or it may not exist.")


def check_key(given: str | None, right: str) -> None:
    if not given:
        raise GoogleError(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
        )
    if given != right:
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }
        raise GoogleError(400, "API key not valid. Please pass a valid API key.", details=[info])
