"""What is asked of Gemini, and its answers, both in the API's own JSON: the same for batches and direct calls."""

import json
import re
from typing import Any

from django.utils.translation import get_language_info

from providers.adapters.base import BatchLine, Instructions, ProviderError, RemoteAudio, Transcription
from providers.adapters.gemini.states import REFUSALS
from providers.reasons import Reason

DEFAULT_PROMPT = (
    "Transcribe this audio verbatim: every word exactly as it is spoken, in the script that the language is normally "
    "written in, without translation, summary, speaker names, time stamps or comments. Answer with the transcript "
    "alone. If nothing is said, answer with nothing."
)
BLOCKING = {"SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "IMAGE_SAFETY", "LANGUAGE"}
# Languages that speech is collected in and that Django does not know.
LANGUAGES = {
    "am": "Amharic",
    "as": "Assamese",
    "brx": "Bodo",
    "cmn": "Mandarin Chinese",
    "doi": "Dogri",
    "fil": "Filipino",
    "gu": "Gujarati",
    "ha": "Hausa",
    "jv": "Javanese",
    "kok": "Konkani",
    "ks": "Kashmiri",
    "ku": "Kurdish",
    "lo": "Lao",
    "mai": "Maithili",
    "mni": "Manipuri",
    "mt": "Maltese",
    "om": "Oromo",
    "or": "Odia",
    "ps": "Pashto",
    "rw": "Kinyarwanda",
    "sa": "Sanskrit",
    "sat": "Santali",
    "sd": "Sindhi",
    "si": "Sinhala",
    "so": "Somali",
    "su": "Sundanese",
    "tl": "Tagalog",
    "xh": "Xhosa",
    "yo": "Yoruba",
    "yue": "Cantonese",
    "zh": "Chinese",
    "zu": "Zulu",
}
_KEY = re.compile(rb'"key"\s*:\s*"([^"\\]{1,100})"')


def prompt_text(instructions: Instructions) -> str:
    """Return the prompt with the name of the language, which models know better than its code."""
    if not instructions.language:
        return instructions.prompt
    return f"{instructions.prompt}\nThe language is {language_name(instructions.language)}."


def language_name(code: str) -> str:
    """English name of a BCP-47 code with the code, as in "Hindi (hi)"; the code alone where it has no known name."""
    try:
        name = get_language_info(code.lower())["name"]
    except KeyError:
        name = LANGUAGES.get(code.lower().split("-")[0], "")
    return f"{name} ({code})" if name else code


def request_body(parts: list[dict[str, Any]], instructions: Instructions) -> dict[str, Any]:
    """A GenerateContentRequest."""
    return {
        "contents": [{"role": "user", "parts": [*parts, {"text": prompt_text(instructions)}]}],
        "generationConfig": {"temperature": 0},
    }


def file_part(audio: RemoteAudio) -> dict[str, Any]:
    return {"fileData": {"fileUri": audio.uri, "mimeType": audio.mime_type}}


def read_answer(answer: dict[str, Any], seconds: float | None) -> Transcription:
    """Return the text of a GenerateContentResponse. Raises ProviderError, with the reason given, if it has none."""
    finish = finish_of(answer)
    return Transcription(
        text=text_of(answer).strip(),
        processing_seconds=seconds,
        input_tokens=input_tokens(answer),
        output_tokens=output_tokens(answer),
        truncated=finish == "MAX_TOKENS",
    )


def finish_of(answer: dict[str, Any]) -> str:
    """Why the model stopped; empty where it goes on. Raises ProviderError for an answer, or a piece of one, that is
    blocked or holds nothing."""
    candidates = answer.get("candidates") or []
    if not candidates:
        blocked = (answer.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            raise ProviderError(Reason.BLOCKED, f"The provider blocked the request ({blocked}).")
        raise ProviderError(Reason.NO_CANDIDATES, "The provider's answer holds no candidate.")
    finish: str = candidates[0].get("finishReason", "")
    if finish in BLOCKING:
        raise ProviderError(Reason.BLOCKED, f"The provider blocked the answer ({finish}).")
    return finish


def text_of(answer: dict[str, Any]) -> str:
    """Return the text of a response or of a piece of one, without thoughts."""
    candidates = answer.get("candidates") or [{}]
    parts = (candidates[0].get("content") or {}).get("parts") or []
    return "".join(part.get("text") or "" for part in parts if not part.get("thought"))


def input_tokens(answer: dict[str, Any]) -> int | None:
    return _count((answer.get("usageMetadata") or {}).get("promptTokenCount"))


def output_tokens(answer: dict[str, Any]) -> int | None:
    """Return input and output tokens. Thoughts count as output; the API leaves out the count of an empty output."""
    usage = answer.get("usageMetadata") or {}
    if "promptTokenCount" not in usage:
        return None
    return (_count(usage.get("candidatesTokenCount")) or 0) + (_count(usage.get("thoughtsTokenCount")) or 0)


def _count(value: object) -> int | None:
    """Return `value` if it is a plausible number of tokens, else None."""
    return value if isinstance(value, int) and 0 <= value < 10**9 else None


def read_line(line: bytes) -> BatchLine:
    """Parse a line of a batch's result file: {"key", "response"} or {"key", "error"}."""
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError
    except (ValueError, RecursionError):  # the latter: nested without end
        found = _KEY.search(line)
        key = found[1].decode(errors="replace") if found else None
        return BatchLine(key, ProviderError(Reason.BAD_JSON, "The provider's line for this sample is no valid JSON."))
    key = entry.get("key")
    return BatchLine(str(key) if key is not None else None, _read_entry(entry))


def _read_entry(entry: dict[str, Any]) -> Transcription | ProviderError:
    if isinstance(entry.get("response"), dict) and entry["response"]:
        try:
            return read_answer(entry["response"], None)
        except ProviderError as error:
            return error
        except (AttributeError, TypeError, ValueError, LookupError):
            return ProviderError(Reason.NO_RESPONSE, "The provider's answer is not of the documented form.")
    fault = entry.get("error")
    if isinstance(fault, dict) and fault:
        reason = Reason.REQUEST_REFUSED if fault.get("code") in REFUSALS else Reason.PROVIDER_ERROR
        return ProviderError(reason, f"{fault.get('code', '')}: {fault.get('message', 'no reason given')}")
    return ProviderError(Reason.NO_RESPONSE, "The provider's line holds neither an answer nor an error.")
