"""Checks and clean-up of texts and JSON values that a database cannot store."""

import math
from collections.abc import Mapping
from typing import Any

LARGEST_ID = 2**63 - 1


def id_in(text: str) -> int | None:
    """Parse an id, such as from a URL; None if no row can have it."""
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    return found if found is None or found <= LARGEST_ID else None


def storable(text: str) -> str:
    """Remove what JSON allows but databases refuse: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def storable_value(value: Any) -> Any:
    """JSON `value` with each of its texts, names included, as `storable` leaves it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): storable_value(each) for name, each in value.items()}
    return [storable_value(each) for each in value] if isinstance(value, list) else value


def whole_letters(text: str) -> str:
    """Replace lone surrogates by U+FFFD: a model's text may be cut within a character, and could not be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def unstorable_part(value: object) -> str | None:
    """Say what part of `value` (JSON: texts, numbers, lists, objects) a database cannot store; None if there is
    none."""
    if isinstance(value, str):
        if "\0" in value:
            return "a NUL character"
        return "half of a surrogate pair" if any("\ud800" <= letter <= "\udfff" for letter in value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number that is too large"
    if isinstance(value, Mapping):
        return next((part for item in value.items() for each in item if (part := unstorable_part(each))), None)
    if isinstance(value, list | tuple):
        return next((part for each in value if (part := unstorable_part(each))), None)
    return None
