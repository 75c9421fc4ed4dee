"""Texts and values from outside: what can be stored of them."""

import math
from collections.abc import Mapping
from typing import Any

LARGEST_ID = 2**63 - 1


def id_in(text: str) -> int | None:
    """The id that `text`, such as a value in an address, names; None where no row can have it."""
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    return found if found is None or found <= LARGEST_ID else None


def storable(text: str) -> str:
    """Without what JSON may hold but a database refuses: NUL, and half characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def storable_value(value: Any) -> Any:
    """JSON `value` with each of its texts, names included, as `storable` leaves it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): storable_value(each) for name, each in value.items()}
    return [storable_value(each) for each in value] if isinstance(value, list) else value


def whole_letters(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair: a model's text may be cut within a letter, and nobody could
    pass it on."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def unstorable_part(value: object) -> str | None:
    """Say what `value` (JSON: texts, numbers, lists, objects) holds that no database takes; None where all of it can be
    stored."""
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
