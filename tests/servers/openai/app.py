"""Routes, the key, faults, and the books that tests read."""

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import asdict
from typing import Any

from tests.servers.http11 import Request, Response, Server
from tests.servers.openai.answering import Chatting, Speaking
from tests.servers.openai.errors import OpenAIError, error_body, error_response
from tests.servers.openai.forms import Part, read_parts
from tests.servers.openai.hearing import Fields, Hearing
from tests.servers.openai.settings import Fault, Settings
from tests.servers.openai.streams import EVENTS, Streams, event

_ROUTES = {
    ("POST", "/v1/audio/transcriptions"): "transcriptions",
    ("POST", "/v1/audio/translations"): "translations",
    ("POST", "/v1/audio/speech"): "speech",
    ("POST", "/v1/chat/completions"): "chat",
    ("GET", "/v1/models"): "models",
}
_MID_STREAM = {"die", "end_early", "error_event", "content_filter"}


class App:
    def __init__(self, settings: dict[str, Any], faults: list[dict[str, Any]]) -> None:
        self._first_settings, self._first_faults = settings, faults
        self.server: Server | None = None  # known when it listens
        self.reset()

    def started(self, server: Server) -> None:
        self.server = server

    def reset(self) -> None:
        self.settings = Settings()
        self.settings.update(self._first_settings)
        self.faults = [Fault(**fault) for fault in self._first_faults]
        self.streams = Streams(self.settings)
        self.calls: deque[dict[str, Any]] = deque(maxlen=self.settings.keep_calls)
        self.counts: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.left_before = self.server.left if self.server else 0

    async def handle(self, request: Request) -> Response:
        if request.path.startswith("/_"):
            return self._control(request)
        operation = _ROUTES.get((request.method, request.path))
        if operation is None:
            if request.method == "GET" and request.path.startswith("/v1/models/"):
                return self._model(request.path.removeprefix("/v1/models/"))
            return error_response(404, f"Invalid URL ({request.method} {request.path})")
        self.counts[operation] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            response = await self._call(operation, request)
        except OpenAIError as error:
            response = error.response()
        except BaseException:
            self.at_once -= 1
            raise
        if response.parts is None:
            self.at_once -= 1
        else:
            response.parts = self._counted(response.parts)
        return response

    async def _counted(self, parts: Any) -> Any:
        """A stream is under way until its end."""
        try:
            async for part in parts:
                yield part
        finally:
            await parts.aclose()
            self.at_once -= 1

    async def _call(self, operation: str, request: Request) -> Response:
        fields, file, wishes = self._read(operation, request)
        model = (fields.get("model", [""]) if fields else [str(wishes.get("model", ""))])[-1]
        self._record(operation, request, fields or wishes, file)
        fault = next((fault for fault in self.faults if fault.strikes(operation, model)), None)
        if self.settings.latency:
            await asyncio.sleep(self.settings.latency)
        if fault and fault.what == "hang":
            await asyncio.Event().wait()
        if fault and fault.what not in _MID_STREAM and fault.what != "cut":
            return _misbehave(fault, operation)
        self._check_key(request)
        if model and self.settings.only_known_models and model not in self.settings.models:
            raise OpenAIError(
                404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
            )
        response = getattr(self, f"_{operation}")(fields, file, wishes, fault)
        if fault and fault.what == "cut":
            response.send_only = len(response.body) // 2
        return response

    def _read(self, operation: str, request: Request) -> tuple[Fields, Part | None, dict[str, Any]]:
        if operation == "models":
            return {}, None, {}
        try:
            if operation in ("speech", "chat"):
                return {}, None, request.json()
            fields: Fields = {}
            file = None
            for part in read_parts(request.headers.get("content-type", ""), request.body):
                if part.name == "file":
                    file = part
                else:
                    fields.setdefault(part.name, []).append(part.text)
        except ValueError as error:
            raise OpenAIError(400, f"Could not parse the body of your request: {error}") from error
        return fields, file, {}

    def _record(self, operation: str, request: Request, fields: dict[str, Any], file: Part | None) -> None:
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        call: dict[str, Any] = {
            "operation": operation,
            "path": request.path,
            "fields": fields,
            "headers": headers,
            "when": time.time(),
        }
        call["bearer"] = "authorization" in request.headers
        if file:
            call["file"] = {"name": file.filename, "mime_type": file.mime_type, "size": file.size}
            call["file"].update(sha256=file.sha256, head=file.body[file.start : file.start + 4].decode("latin-1"))
        self.calls.append(call)

    def _check_key(self, request: Request) -> None:
        valid = self.settings.valid_key
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if valid and given != valid:
            message = "You didn't provide an API key." if not given else "Incorrect API key provided: ****."
            raise OpenAIError(401, message, code="invalid_api_key" if given else None)

    # operations
    def _transcriptions(self, fields: Fields, file: Part | None, wishes: Any, fault: Fault | None) -> Response:
        return self._heard(Hearing(self.settings, fields, file, task="transcribe"), fault)

    def _translations(self, fields: Fields, file: Part | None, wishes: Any, fault: Fault | None) -> Response:
        return self._heard(Hearing(self.settings, fields, file, task="translate"), fault)

    def _heard(self, hearing: Hearing, fault: Fault | None) -> Response:
        if hearing.wants_stream:
            return self._stream(hearing.events(), fault)
        return hearing.response()

    def _speech(self, fields: Fields, file: Part | None, wishes: dict[str, Any], fault: Fault | None) -> Response:
        speaking = Speaking(self.settings, wishes)
        if speaking.wants_events:
            return self._stream(speaking.events(), fault)
        return Response(headers=speaking.headers, parts=self.streams.send(speaking.pieces(), fault, b""))

    def _chat(self, fields: Fields, file: Part | None, wishes: dict[str, Any], fault: Fault | None) -> Response:
        chatting = Chatting(self.settings, wishes, fault)
        return self._stream(chatting.events(), fault) if wishes.get("stream") else chatting.response()

    def _stream(self, events: list[bytes], fault: Fault | None) -> Response:
        error = event({"error": {"message": fault.message, "type": fault.type, "code": fault.code}}) if fault else b""
        return Response(headers=EVENTS, parts=self.streams.send(events, fault, error))

    def _models(self, *_: Any) -> Response:
        return _answer({"object": "list", "data": [_model(name) for name in self.settings.models]})

    def _model(self, name: str) -> Response:
        if name not in self.settings.models:
            return error_response(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
        return _answer(_model(name))

    # what tests ask and tell
    def _control(self, request: Request) -> Response:
        if request.path == "/_state":
            return _answer(self.report())
        wishes = request.json()
        try:
            if wishes.get("reset"):
                self.streams.released.set()
                self.reset()
            if wishes.get("clear_faults"):
                self.faults.clear()
            self.settings.update(wishes.get("settings", {}))
            self.faults += [Fault(**fault) for fault in wishes.get("faults", [])]
        except (TypeError, ValueError) as error:
            return error_response(400, str(error))
        if wishes.get("release"):
            self.streams.released.set()
        return _answer({})

    def report(self) -> dict[str, Any]:
        return {
            "calls": list(self.calls),
            "counts": dict(self.counts),
            "at_once": self.at_once,
            "most_at_once": self.most_at_once,
            "open_streams": self.streams.open,
            "left": self.server.left - self.left_before,
            "connections": len(self.server.connections) - 1,  # but for the one that asks
            "held_up": sum(connection.is_held_up for connection in self.server.connections),
            "faults": [asdict(fault) for fault in self.faults],
        }


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "stand-in"}


def _answer(content: dict[str, Any]) -> Response:
    return Response(body=json.dumps(content).encode())


def _misbehave(fault: Fault, operation: str) -> Response:
    if fault.what == "drop":
        return Response(hang_up=True)
    if fault.what == "garbage":
        return Response(body=b'{"text": "half an ans')
    if fault.what == "empty":
        return Response(headers={"content-type": "audio/mpeg"} if operation == "speech" else {})
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    error = error_body(fault.status, fault.message, code=fault.code, type=fault.type)
    return Response(200 if fault.what == "error_body" else fault.status, fault.body.encode() or error, headers)
