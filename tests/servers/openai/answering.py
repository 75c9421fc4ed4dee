"""/v1/audio/speech and /v1/chat/completions."""

import base64
import json
import time
from typing import Any

from tests.servers.http11 import Response
from tests.servers.openai.errors import OpenAIError
from tests.servers.openai.settings import Fault, Settings
from tests.servers.openai.streams import DONE, event
from tests.servers.openai.voices import MIME_TYPES, speech


class Speaking:
    """One request's text, spoken."""

    def __init__(self, settings: Settings, wishes: dict[str, Any]) -> None:
        for name in ("model", "input", "voice"):
            if not wishes.get(name):
                raise OpenAIError(400, f"Missing required parameter: '{name}'.", param=name)
        if len(wishes["input"]) > 4096:
            raise OpenAIError(
                400, "Invalid 'input': string too long. Expected a string with maximum length 4096.", param="input"
            )
        self.encoding = wishes.get("response_format", "mp3")
        speed = wishes.get("speed", 1.0)
        if self.encoding not in MIME_TYPES:
            raise OpenAIError(400, f"Invalid value: '{self.encoding}'.", param="response_format", code="invalid_value")
        if not 0.25 <= speed <= 4.0:
            raise OpenAIError(400, "Invalid 'speed': must be between 0.25 and 4.0.", param="speed")
        self.wants_events = wishes.get("stream_format") == "sse"
        self.settings, self.text = settings, wishes["input"]
        seconds = max(0.1, round(len(self.text) * settings.seconds_a_character / speed, 2))
        self.audio = speech(seconds, self.encoding, settings.speech_rate, settings.endless_wav)

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": MIME_TYPES[self.encoding]}

    def pieces(self) -> list[bytes]:
        size = -(-len(self.audio) // max(1, self.settings.parts))
        return [self.audio[start : start + size] for start in range(0, len(self.audio), size)]

    def events(self) -> list[bytes]:
        deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in self.pieces()]
        read, spoken = len(self.text.split()), len(self.pieces()) * 10
        usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
        return [event(delta) for delta in deltas] + [event({"type": "speech.audio.done", "usage": usage})]


class Chatting:
    """One request's answer."""

    def __init__(self, settings: Settings, wishes: dict[str, Any], fault: Fault | None) -> None:
        messages = wishes.get("messages")
        if not wishes.get("model"):
            raise OpenAIError(400, "you must provide a model parameter", param="model")
        if not messages:
            raise OpenAIError(400, "Missing required parameter: 'messages'.", param="messages")
        self.wishes, self.model = wishes, wishes["model"]
        words = (settings.chat_text or str(messages[-1]["content"])).split(" ")
        limit = wishes.get("max_completion_tokens") or wishes.get("max_tokens")
        self.finish = "length" if limit and len(words) > limit else "stop"
        if fault and fault.what == "content_filter":
            words, self.finish = words[: len(words) // 2], "content_filter"
        self.words = words[:limit] if limit else words
        read = sum(len(str(message["content"]).split()) for message in messages)
        written = len(self.words)
        self.usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def response(self) -> Response:
        message = {"role": "assistant", "content": " ".join(self.words), "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": self.finish, "logprobs": None}
        return Response(body=json.dumps(self._object("chat.completion", [choice], usage=self.usage)).encode())

    def events(self) -> list[bytes]:
        """Where usage is asked for it comes in a chunk of its own, without choices."""
        asked = (self.wishes.get("stream_options") or {}).get("include_usage")
        more = {"usage": None} if asked else {}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word if not index else f" {word}"} for index, word in enumerate(self.words)]
        chunks = [self._chunk(delta, None, **more) for delta in deltas] + [self._chunk({}, self.finish, **more)]
        if asked:
            chunks.append(event(self._object("chat.completion.chunk", [], usage=self.usage)))
        return [*chunks, DONE]

    def _chunk(self, delta: dict[str, Any], finish: str | None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event(self._object("chat.completion.chunk", [choice], **more))

    def _object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        base = {"id": "chatcmpl-stand-in", "object": kind, "created": int(time.time()), "model": self.model}
        return {**base, "choices": choices, **more}
