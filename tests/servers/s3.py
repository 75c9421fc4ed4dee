"""An S3 bucket on loopback: put, get (with ranges), head, delete. Signatures are not checked."""

import base64
import json
import re
from typing import Any
from urllib.parse import unquote

from tests.servers.http11 import Request, Response, Server
from tests.servers.stand_in import StandIn

_ETAG = {"ETag": '"etag"'}


class App:
    def __init__(self, settings: dict[str, Any], faults: list[dict[str, Any]]) -> None:
        self.objects: dict[str, bytes] = {}

    def started(self, server: Server) -> None:
        pass

    async def handle(self, request: Request) -> Response:
        key = unquote(request.path).lstrip("/")
        if key == "_state":
            objects = {key: base64.b64encode(data).decode() for key, data in self.objects.items()}
            return Response(body=json.dumps(objects).encode())
        match request.method:
            case "PUT":
                self.objects[key] = _content(request)
                return Response(headers=_ETAG)
            case "DELETE":
                self.objects.pop(key, None)
                return Response(204)
        return self._get(key, request.headers.get("range", ""))

    def _get(self, key: str, asked: str) -> Response:
        data = self.objects.get(key)
        if data is None:
            return Response(404, b"<Error><Code>NoSuchKey</Code></Error>")
        headers = {**_ETAG, "Accept-Ranges": "bytes"}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", asked):
            start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
            return Response(206, data[start : end + 1], headers)
        return Response(200, data, headers)


def _content(request: Request) -> bytes:
    rest = request.body[:]
    if "aws-chunked" not in request.headers.get("content-encoding", ""):
        return rest
    parts: list[bytes] = []
    while True:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(rest[:size])
        rest = rest[size + 2 :]


class Bucket(StandIn):
    package = "tests.servers.s3"
    make_app = App

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def objects(self) -> dict[str, bytes]:
        return {key: base64.b64decode(data) for key, data in self.state().items()}
