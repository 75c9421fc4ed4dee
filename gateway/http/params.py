"""Parameters of a transcription or translation, parsed from its form."""

import json
import math
from dataclasses import dataclass
from typing import Literal

from gateway.errors import invalid
from gateway.http.formats import CONTENT_TYPES, ResponseFormat
from gateway.http.languages import language_code
from gateway.http.multipart import Form

Granularity = Literal["word", "segment"]

TIMED: tuple[ResponseFormat, ...] = ("verbose_json", "srt", "vtt")
STREAMED: tuple[ResponseFormat, ...] = ("json", "text")
YES, NO = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True)
class TranscriptionParams:
    model: str
    response_format: ResponseFormat
    language: str  # BCP-47; empty: the model detects it
    prompt: str
    temperature: float | None
    timestamp_granularities: frozenset[Granularity]  # of verbose_json
    stream: bool

    def granularities_needed(self, able: frozenset[Granularity]) -> frozenset[Granularity]:
        """Return the granularities to request from a model that supports `able`. Segments can be made of words if
        needed."""
        wanted = self.timestamp_granularities if self.response_format in TIMED else frozenset[Granularity]()
        if "segment" in wanted - able:
            wanted |= {"word"}
        return wanted & able


def read_params(form: Form) -> TranscriptionParams:
    """Parse and check the fields of the form. Raises ApiError 400 with the name of the wrong field."""
    model = form.one("model")
    missing = [name for name, given in (("file", form.file), ("model", model)) if not given]
    if missing or model is None:
        named = " and ".join(repr(name) for name in missing)
        raise invalid(
            f"The form lacks {named}. Send both 'file' and 'model'.", missing[0], "missing_required_parameter"
        )
    wanted = _response_format(form)
    _refuse_unknown_chunking(form)
    _refuse_unknown_include(form, wanted)
    return TranscriptionParams(
        model=model,
        response_format=wanted,
        language=_language(form),
        prompt=form.one("prompt") or "",
        temperature=_temperature(form),
        timestamp_granularities=_timestamp_granularities(form, wanted),
        stream=_stream(form, wanted),
    )


def _response_format(form: Form) -> ResponseFormat:
    given = form.one("response_format") or "json"
    for known in CONTENT_TYPES:
        if given == known:
            return known
    known_ones = ", ".join(CONTENT_TYPES)
    message = f"Unknown response_format {given[:40]!r}. Use one of: {known_ones}."
    raise invalid(message, "response_format", "unsupported_value")


def _language(form: Form) -> str:
    given = form.one("language")
    if given is None:
        return ""
    code = language_code(given)
    if code is None:
        message = f"{given[:40]!r} is no language. Use a code such as en or pt-BR, or an English name."
        raise invalid(message, "language", "invalid_value")
    return code


def _temperature(form: Form) -> float | None:
    given = form.one("temperature")
    if given is None:
        return None
    try:
        temperature = float(given)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= 1:
        raise invalid(
            f"temperature is {given[:40]!r}; it must be a number from 0 to 1.", "temperature", "invalid_value"
        )
    return temperature


def _timestamp_granularities(form: Form, wanted: ResponseFormat) -> frozenset[Granularity]:
    name = "timestamp_granularities"
    given = form.several(name)
    if unknown := sorted(set(given) - {"word", "segment"}):
        raise invalid(f"Unknown {name}: {', '.join(unknown)[:80]}. Use word and segment.", name, "invalid_value")
    if given and wanted != "verbose_json":
        message = f"{name} needs response_format verbose_json; {wanted} holds no times of that kind."
        raise invalid(message, name, "invalid_value")
    granularities: set[Granularity] = {"word"} if "word" in given else set()
    return frozenset(granularities | {"segment"} if "segment" in given or not given else granularities)


def _stream(form: Form, wanted: ResponseFormat) -> bool:
    given = (form.one("stream") or "false").lower()
    if given not in YES | NO:
        raise invalid(f"stream is {given[:40]!r}; it must be true or false.", "stream", "invalid_value")
    if given in YES and wanted not in STREAMED:
        message = f"Streams hold text as it comes, not {wanted}. Leave response_format out, or stream."
        raise invalid(message, "response_format", "unsupported_value")
    return given in YES


def _refuse_unknown_include(form: Form, wanted: ResponseFormat) -> None:
    """Check `include`. Only `logprobs` is known; providers without them leave them out of the response."""
    given = form.several("include")
    if unknown := sorted(set(given) - {"logprobs"}):
        raise invalid(
            f"Unknown include: {', '.join(unknown)[:80]}. Only logprobs is known.", "include", "invalid_value"
        )
    if given and wanted != "json":
        raise invalid("include[]=logprobs needs response_format json.", "include", "invalid_value")


def _refuse_unknown_chunking(form: Form) -> None:
    """Check `chunking_strategy`, which only the provider makes use of."""
    given = form.one("chunking_strategy") or form.one("chunking_strategy[type]") or "auto"
    if given.startswith("{"):
        try:
            given = str(json.loads(given).get("type"))
        except (ValueError, RecursionError):
            given = "unreadable"
    if given not in ("auto", "server_vad"):
        message = "chunking_strategy must be auto, or an object with the type server_vad."
        raise invalid(message, "chunking_strategy", "invalid_value")
