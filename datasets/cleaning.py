"""Cleans input before it is stored: keys, file names, languages, tags, texts."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from datasets.errors import InvalidSample

MAX_KEY = 300
MAX_TAG = 100
COLUMNS = ("file", "key", "reference", "no_speech", "language", "text")  # of a manifest; whatever else is a tag
# Control characters, line separators, lone surrogates, and characters that change the direction of the text.
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


def clean_key(raw: str) -> str:
    """Return a key as composed Unicode (NFC) on one line, at most 300 characters; empty where nothing is left."""
    return unicodedata.normalize("NFC", FORBIDDEN.sub("", raw)).strip()[:MAX_KEY].strip()


def key_from_filename(filename: str) -> str:
    """Return the key of an upload: its file name without folders."""
    return clean_key(re.split(r"[/\\]", filename)[-1]) or "audio"


def with_number(key: str, number: int) -> str:
    """Return `key` with a number added, within 300 characters."""
    suffix = f" ({number})"
    return key[: MAX_KEY - len(suffix)] + suffix


def clean_text(text: str, what: str) -> str:
    """Return `text` unchanged. Raises InvalidSample where a database cannot store it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidSample(f"The {what} is not valid Unicode: it holds half a character.") from error
    if "\x00" in text:
        raise InvalidSample(f"The {what} holds a NUL character. Remove it.")
    return text


def clean_language(raw: str) -> str:
    """Return a BCP-47 tag such as en or pt-BR, or an empty text. Raises InvalidSample."""
    language = raw.strip()
    if language and (len(language) > 35 or not LANGUAGE.fullmatch(language)):
        raise InvalidSample(f"{language[:40]!r} is not a language tag. Use one such as en, pt-BR or hi.")
    return language


def clean_tags(raw: Mapping[str, Any] | None) -> dict[str, str]:
    """Return tags by name; numbers and booleans become texts, empty values are left out. Raises InvalidSample."""
    tags = {}
    for name, value in (raw or {}).items():
        name = clean_key(str(name))
        if not name or len(name) > MAX_TAG or name.lower() in COLUMNS:
            raise InvalidSample(
                f"{name[:40]!r} cannot be a tag's name. Use 1 to {MAX_TAG} characters, none of {COLUMNS}."
            )
        if not isinstance(value, str | int | float | bool | None):
            raise InvalidSample(f"The tag {name} holds a list or an object. Use a text or a number.")
        text = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
        if text:
            tags[name] = clean_text(text, f"tag {name}")
    return tags
