"""Routes, the key, faults, and the books that tests read."""

import asyncio
import json
import re
from collections import Counter, deque
from typing import Any

from tests.servers.gemini.answers import Answers
from tests.servers.gemini.batches import Batches
from tests.servers.gemini.errors import GoogleError, check_key
from tests.servers.gemini.faults import Fault, Faults
from tests.servers.gemini.files import Files
from tests.servers.gemini.settings import Clock, Settings
from tests.servers.gemini.streams import Streams, text_of, wants_speech
from tests.servers.http11 import Request, Response, Server

_ROUTES = [
    ("POST", re.compile(r"/upload/v1beta/files"), "upload_start"),
    ("GET", re.compile(r"/v1beta/files"), "file_list"),
    ("GET", re.compile(r"/v1beta/files/([^/:]+)"), "file_get"),
    ("DELETE", re.compile(r"/v1beta/files/([^/:]+)"), "file_delete"),
    ("GET", re.compile(r"/v1beta/files/([^/:]+):download"), "download"),
    ("POST", re.compile(r"/v1beta/models/([^/:]+):generateContent"), "generate"),
    ("POST", re.compile(r"/v1beta/models/([^/:]+):streamGenerateContent"), "stream"),
    ("POST", re.compile(r"/v1beta/models/([^/:]+):batchGenerateContent"), "batch_create"),
    ("GET", re.compile(r"/v1beta/batches"), "batch_list"),
    ("GET", re.compile(r"/v1beta/batches/([^/:]+)"), "batch_get"),
    ("DELETE", re.compile(r"/v1beta/batches/([^/:]+)"), "batch_delete"),
    ("POST", re.compile(r"/v1beta/batches/([^/:]+):cancel"), "batch_cancel"),
    ("GET", re.compile(r"/v1beta/models"), "model_list"),
    ("GET", re.compile(r"/v1beta/models/([^/:]+)"), "model_get"),
]


class App:
    def __init__(self, settings: dict[str, Any], faults: list[dict[str, Any]]) -> None:
        self._first_settings, self._first_faults = settings, faults
        self.base_url = ""  # known when the server listens
        self._reset()

    def started(self, server: Server) -> None:
        self.base_url = f"http://127.0.0.1:{server.port}"

    def _reset(self) -> None:
        self.settings = Settings()
        self.settings.update(self._first_settings)
        self.clock = Clock()
        self.faults = Faults(self.settings.seed)
        for fault in self._first_faults:
            self.faults.add(fault)
        self.files = Files(self.settings, self.clock, self.faults)
        self.answers = Answers(self.settings, self.files)
        self.batches = Batches(self.settings, self.clock, self.faults, self.files, self.answers)
        self.streams = Streams(self.settings)
        self.asked: list[dict[str, Any]] = []  # requests without audio
        self.told: deque[str] = deque(maxlen=20)  # the texts beside audio, of the last requests
        self.calls: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()  # faults that happened
        self.generated: Counter[str] = Counter()  # direct answers by the audio's sha256
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()

    async def handle(self, request: Request) -> Response:
        if request.path.startswith("/_"):
            return self._control(request)
        try:
            operation, name = _route(request)
        except GoogleError as error:
            return error.response()
        self._enter(operation)
        try:
            return await self._call(operation, name, request)
        finally:
            self.at_once[operation] -= 1
            self.at_once["all"] -= 1

    def _enter(self, operation: str) -> None:
        self.calls[operation] += 1
        for what in (operation, "all"):
            self.at_once[what] += 1
            self.most_at_once[what] = max(self.most_at_once[what], self.at_once[what])

    async def _call(self, operation: str, name: str, request: Request) -> Response:
        fault = self.faults.take(operation, "*", subject=self._subject(operation, name, request))
        seconds = self.settings.latency_seconds
        if operation in ("generate", "stream"):
            seconds += self.settings.generate_seconds
        if fault:
            self.struck[f"{operation} {fault.what}"] += 1
            seconds += fault.seconds or 0.0
        if seconds:
            await asyncio.sleep(seconds)
        if fault and not fault.has_effect:
            return _misbehave(fault, Response(), operation)
        try:
            if operation not in ("upload_chunk", "upload_query"):  # the SDK sends no key with these; the id is secret
                check_key(request.headers.get("x-goog-api-key"), self.settings.api_key)
            response = getattr(self, f"_{operation}")(name, request)
        except GoogleError as error:
            response = error.response()
        return _misbehave(fault, response, operation) if fault else response

    def _subject(self, operation: str, name: str, request: Request) -> str:
        """What a fault's `match` is looked for in."""
        if operation in ("upload_chunk", "upload_query"):
            upload = self.files.find_upload(name)
            return f"{upload.name} {upload.display_name}" if upload else ""
        if operation in ("upload_start", "batch_create"):
            return f"{name} {request.body[:].decode(errors='replace')}"
        return name

    # files
    def _upload_start(self, name: str, request: Request) -> Response:
        headers = request.headers
        mime_type = headers.get("x-goog-upload-header-content-type", "")
        size = int(headers.get("x-goog-upload-header-content-length", "0"))
        upload = self.files.start(_json(request).get("file") or {}, mime_type, size)
        url = f"{self.base_url}/upload/v1beta/files?upload_id={upload.id}&upload_protocol=resumable"
        answer = {"x-goog-upload-url": url, "x-goog-upload-status": "active"}
        return Response(headers={**answer, "x-goog-upload-chunk-granularity": "262144"})

    def _upload_chunk(self, upload_id: str, request: Request) -> Response:
        upload = self.files.upload(upload_id)
        last = "finalize" in request.headers.get("x-goog-upload-command", "")
        try:
            offset = int(request.headers.get("x-goog-upload-offset", "0"))
            self.files.receive(upload, offset, request.body[:], last=last)
        except GoogleError as error:
            response = error.response()
            response.headers["x-goog-upload-status"] = "final"
            return response
        if upload.stored is None:
            return Response(headers={"x-goog-upload-status": "active"})
        response = _answer({"file": upload.stored.resource(self.clock.now(), self.base_url)})
        response.headers["x-goog-upload-status"] = "final"
        return response

    def _upload_query(self, upload_id: str, request: Request) -> Response:
        upload = self.files.upload(upload_id)
        status = "final" if upload.stored else "active"
        return Response(headers={"x-goog-upload-status": status, "x-goog-upload-size-received": str(upload.received)})

    def _file_get(self, name: str, request: Request) -> Response:
        return _answer(self.files.get(name).resource(self.clock.now(), self.base_url))

    def _file_list(self, name: str, request: Request) -> Response:
        now = self.clock.now()
        newest_first = reversed(self.files.alive())
        return _page("files", [stored.resource(now, self.base_url) for stored in newest_first], request, 10, 100)

    def _file_delete(self, name: str, request: Request) -> Response:
        self.files.delete(name)
        return _answer({})

    def _download(self, name: str, request: Request) -> Response:
        return Response(body=self.files.download(name), headers={"content-type": "application/octet-stream"})

    # batches
    def _batch_create(self, model: str, request: Request) -> Response:
        return _answer(self.batches.create(model, _json(request)))

    def _batch_get(self, name: str, request: Request) -> Response:
        return _answer(self.batches.get(name))

    def _batch_list(self, name: str, request: Request) -> Response:
        return _page("operations", self.batches.newest_first(), request, 50, 1000)

    def _batch_cancel(self, name: str, request: Request) -> Response:
        self.batches.cancel(name)
        return _answer({})

    def _batch_delete(self, name: str, request: Request) -> Response:
        self.batches.delete(name)
        return _answer({})

    # models
    def _generate(self, model: str, request: Request) -> Response:
        return _answer(self._whole(model, request))

    def _stream(self, model: str, request: Request) -> Response:
        whole = self._whole(model, request)
        return self.streams.answer(whole, self.faults.take("pieces", subject=model))

    def _whole(self, model: str, request: Request) -> dict[str, Any]:
        """A GenerateContentResponse."""
        self._model(model)
        if len(request.body) > self.settings.max_request_bytes:
            raise GoogleError(400, f"Request payload size exceeds the limit: {self.settings.max_request_bytes} bytes.")
        asked = _json(request)
        heard = self.answers.hear(asked, self.clock.now())
        self.generated[heard.sha256] += 1
        fault = self.faults.take("answer", subject=f"{heard.sha256} {model}", key=heard.sha256)
        whole = self.answers.response(model, heard, fault)
        if heard.audio_bytes:
            self.told.append(text_of(asked))
        else:
            self.asked.append(asked)
        if wants_speech(asked):
            self.streams.speak(whole, text_of(asked))
        return whole

    def _model_list(self, name: str, request: Request) -> Response:
        return _page("models", [self._model(model) for model in self.settings.models], request, 50, 1000)

    def _model_get(self, name: str, request: Request) -> Response:
        return _answer(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        if name not in self.settings.models:
            raise GoogleError(
                404, f"models/{name} is not found for API version v1beta, or is not supported for generateContent."
            )
        methods = ["generateContent", "countTokens"]
        if self.settings.models[name]:
            methods.append("batchGenerateContent")
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}

    # tests
    def _control(self, request: Request) -> Response:
        try:
            if request.path == "/_control" and request.method == "POST":
                self._told(_json(request))
                return _answer({})
            if request.path == "/_state":
                return _answer(self.report())
        except (TypeError, ValueError) as error:
            return Response(400, str(error).encode())
        return Response(404, b"there are POST /_control and GET /_state")

    def _told(self, wishes: dict[str, Any]) -> None:
        if unknown := set(wishes) - {"reset", "settings", "answers", "clear_faults", "faults", "advance"}:
            raise ValueError(f"unknown: {sorted(unknown)}")
        if wishes.get("reset"):
            self._reset()
        self.settings.update(wishes.get("settings") or {})
        self.answers.texts.update(wishes.get("answers") or {})
        if wishes.get("clear_faults"):
            self.faults.clear()
        for fault in wishes.get("faults") or []:
            self.faults.add(fault)
        self.clock.advance(wishes.get("advance") or 0.0)

    def report(self) -> dict[str, Any]:
        now = self.clock.now()
        batches = self.batches.report()  # first: what has ended has made its file, though nobody has looked yet
        return {
            "files": [
                {
                    "name": f"files/{stored.id}",
                    "display_name": stored.display_name,
                    "mime_type": stored.mime_type,
                    "bytes": stored.size,
                    "sha256": stored.sha256,
                    "state": stored.state(now),
                    "generated": stored.generated,
                }
                for stored in self.files.alive()
            ],
            "files_ever": [f"files/{stored.id}" for stored in self.files.ever],
            "files_deleted": sum(1 for stored in self.files.ever if stored.deleted_at is not None),
            "files_expired": sum(
                1 for stored in self.files.ever if stored.deleted_at is None and stored.expires <= now
            ),
            "most_files": self.files.most_files,
            "most_bytes": self.files.most_bytes,
            "batches": batches,
            "submitted_keys": self.batches.submitted_keys,
            "calls": self.calls,
            "faults": self.struck,
            "most_at_once": self.most_at_once,
            "generated": self.generated,
            "asked": self.asked,
            "told": list(self.told),
            "streams": self.streams.counts,
        }


def _route(request: Request) -> tuple[str, str]:
    """-> the operation, and the name in the path"""
    if request.method == "POST" and request.path == "/upload/v1beta/files" and "upload_id" in request.query:
        query = "query" in request.headers.get("x-goog-upload-command", "")
        return ("upload_query" if query else "upload_chunk"), request.query["upload_id"]
    for method, pattern, operation in _ROUTES:
        if method == request.method and (match := pattern.fullmatch(request.path)):
            return operation, match[1] if pattern.groups else ""
    raise GoogleError(404, f"There is nothing at {request.method} {request.path}")


def _misbehave(fault: Fault, response: Response, operation: str) -> Response:
    match fault.what:
        case "drop":
            response.hang_up = True
        case "cut":
            response.parts = None
            response.send_only = len(response.body) // 2
        case "garbage":
            body = fault.message or '{"name": "files/'
            response = _odd_success(response, body.encode(), operation)
        case "empty":
            response = _odd_success(response, b"", operation)
        case "status":
            return _error_answer(fault, operation)
    return response


def _odd_success(response: Response, body: bytes, operation: str) -> Response:
    # The body of an upload's start is never read: what counts there are its headers.
    return Response(200, body, {} if operation == "upload_start" else response.headers)


def _error_answer(fault: Fault, operation: str) -> Response:
    details = []
    if fault.retry_after is not None:
        delay = f"{fault.retry_after:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    message = fault.message or f"The stand-in was told to answer {fault.status}."
    response = GoogleError(fault.status, message, details=details).response()
    if fault.retry_after is not None:
        response.headers["retry-after"] = f"{fault.retry_after:g}"
    if operation == "upload_chunk" and fault.status < 429:  # this upload is over; otherwise it may be tried again
        response.headers["x-goog-upload-status"] = "final"
    return response


def _json(request: Request) -> dict[str, Any]:
    try:
        return request.json()
    except ValueError:
        raise GoogleError(400, "Invalid JSON payload received.") from None


def _answer(body: dict[str, Any]) -> Response:
    return Response(body=json.dumps(body).encode())


def _page(name: str, items: list[dict[str, Any]], request: Request, size: int, most: int) -> Response:
    """A page of the items; the token is the place of the next."""
    size = min(int(request.query.get("pageSize", size)), most)
    start = int(request.query.get("pageToken") or 0)
    page: dict[str, Any] = {name: items[start : start + size]} if items[start:] else {}
    if start + size < len(items):
        page["nextPageToken"] = str(start + size)
    return _answer(page)
