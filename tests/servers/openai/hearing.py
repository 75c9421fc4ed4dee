"""/v1/audio/transcriptions and /v1/audio/translations."""

import json
import math
from pathlib import PurePath
from typing import Any

from tests.servers.http11 import Response
from tests.servers.openai.errors import OpenAIError
from tests.servers.openai.forms import Part
from tests.servers.openai.settings import ALL_FORMATS, Settings
from tests.servers.openai.streams import event
from tests.servers.openai.voices import segments, subtitles, word_times, words_for

Fields = dict[str, list[str]]
TEXTS = {"text": "text/plain; charset=utf-8", "srt": "text/plain; charset=utf-8", "vtt": "text/vtt; charset=utf-8"}


class Hearing:
    """What is heard in one request's audio."""

    def __init__(self, settings: Settings, fields: Fields, file: Part | None, *, task: str) -> None:
        self.settings, self.fields, self.task = settings, fields, task
        self.model = _last(fields, "model")
        if file is None or file.filename is None:
            raise OpenAIError(400, "Missing required parameter: 'file'.", param="file")
        if not self.model:
            raise OpenAIError(400, "you must provide a model parameter", param="model")
        self.format = self._format()
        self._check_file(file)
        self.sha256 = file.sha256
        self.text = self._text()

    @property
    def wants_stream(self) -> bool:
        """Models that answer with times do not stream: they ignore the wish."""
        known = self.settings.models.get(self.model)
        return _last(self.fields, "stream") == "true" and known != ALL_FORMATS and self.task == "transcribe"

    def _format(self) -> str:
        wanted = _last(self.fields, "response_format") or "json"
        if wanted not in [*ALL_FORMATS, "diarized_json"]:
            raise OpenAIError(400, f"Invalid value: '{wanted}'.", param="response_format", code="invalid_value")
        if wanted not in self.settings.models.get(self.model, ALL_FORMATS):
            message = (
                f"response_format '{wanted}' is not compatible with model '{self.model}'. Use 'json' or 'text' instead."
            )
            raise OpenAIError(400, message, param="response_format", code="unsupported_value")
        if self._granularities() and wanted != "verbose_json":
            raise OpenAIError(
                400, "timestamp_granularities needs response_format 'verbose_json'.", param="timestamp_granularities"
            )
        return wanted

    def _granularities(self) -> list[str]:
        return self.fields.get("timestamp_granularities[]", []) + self.fields.get("timestamp_granularities", [])

    def _check_file(self, file: Part) -> None:
        limit = self.settings.max_file_bytes
        if file.size > limit:
            raise OpenAIError(413, f"Maximum content size limit ({limit}) exceeded ({file.size} bytes read)")
        extension = PurePath(file.filename or "").suffix.lstrip(".").lower()
        if extension not in self.settings.audio_formats:
            fault = "Invalid file format." if extension else "Unrecognized file format."
            raise OpenAIError(400, f"{fault} Supported formats: {self.settings.audio_formats}", param="file")
        self.seconds = self.settings.seconds if self.settings.seconds is not None else file.seconds()
        longest = self.settings.max_audio_seconds
        if not self.seconds:
            raise OpenAIError(400, "Audio file might be corrupted or unsupported", param="file", code="invalid_value")
        if longest is not None and self.seconds > longest:
            raise OpenAIError(
                400,
                f"audio duration {self.seconds:g} seconds is longer than {longest:g} seconds which is the maximum for "
                "this model",
                code="invalid_value",
            )

    def _text(self) -> str:
        if self.task == "translate":
            return self.settings.translation
        return self.settings.texts.get(self.sha256) or self.settings.text or words_for(self.sha256)

    def usage(self) -> dict[str, Any]:
        if self.settings.usage == "duration":
            return {"usage": {"type": "duration", "seconds": math.ceil(self.seconds)}}
        if self.settings.usage == "tokens":
            heard, written = math.ceil(self.seconds * 10), len(self.text.split())
            details = {"text_tokens": 0, "audio_tokens": heard}
            usage = {"input_tokens": heard, "input_token_details": details, "output_tokens": written}
            return {"usage": {"type": "tokens", **usage, "total_tokens": heard + written}}
        return {}

    def response(self) -> Response:
        if self.format in ("srt", "vtt"):
            body = subtitles(self.text, self.seconds, vtt=self.format == "vtt").encode()
            return Response(body=body, headers={"content-type": TEXTS[self.format]})
        if self.format == "text":
            return Response(body=f"{self.text}\n".encode(), headers={"content-type": TEXTS["text"]})
        makes = {"verbose_json": self._verbose, "diarized_json": self._diarized}.get(self.format, self._plain)
        return Response(body=json.dumps(makes()).encode())

    def _diarized(self) -> dict[str, Any]:
        """Two people who take turns."""
        kind = "transcript.text.segment"
        turns = [
            {key: segment[key] for key in ("start", "end", "text")}
            | {"type": kind, "id": f"seg_{number}", "speaker": "AB"[number % 2]}
            for number, segment in enumerate(segments(self.text, self.seconds))
        ]
        answer = {"task": "transcribe", "duration": self.seconds, "text": self.text, "segments": turns}
        return {**answer, **self.usage()}

    def _plain(self) -> dict[str, Any]:
        return {"text": self.text, **self.usage()}

    def _verbose(self) -> dict[str, Any]:
        language = "english" if self.task == "translate" else self.settings.language
        answer = {"task": self.task, "language": language, "duration": self.seconds, "text": self.text}
        wanted = self._granularities() or ["segment"]
        if "segment" in wanted:
            answer["segments"] = segments(self.text, self.seconds)
        if "word" in wanted:
            answer["words"] = word_times(self.text, self.seconds)
        return {**answer, **self.usage()}

    def events(self) -> list[bytes]:
        words = self.text.split(" ")
        deltas = [word if not index else f" {word}" for index, word in enumerate(words)]
        done = {"type": "transcript.text.done", "text": self.text, **self.usage()}
        return [event({"type": "transcript.text.delta", "delta": delta}) for delta in deltas] + [event(done)]


def _last(fields: Fields, name: str) -> str:
    return fields.get(name, [""])[-1]
