"""Reads a client's JSON object field by field; errors name the field's path."""

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from voice.protocol.config import ProtocolError

Choice = TypeVar("Choice")
MOST_MS = 24 * 3600 * 1000
NAMES = {str: "a string", bool: "a boolean", dict: "an object", list: "an array"}


class Fields:
    """A JSON object's fields. A missing or null field reads as None; one of the wrong type raises ProtocolError."""

    def __init__(self, raw: Mapping[str, Any], path: str = "") -> None:
        self.raw = raw
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def param(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def only(self, known: Collection[str]) -> None:
        """Raise ProtocolError for an unknown field."""
        for name in self.raw:
            if name not in known:
                param = self.param(name[:100])
                raise ProtocolError("unknown_parameter", f"Unknown parameter: '{param}'.", param)

    def string(self, name: str, *, most: int | None = None) -> str | None:
        value = self._typed(name, str)
        if value is not None and most is not None and len(value) > most:
            raise self.invalid(name, f"expected at most {most} characters, got {len(value)}")
        return value

    def identifier(self, name: str) -> str | None:
        """Read a short string: a name or an id."""
        value = self.string(name, most=256)
        if value == "":
            raise self.invalid(name, "expected at least one character")
        return value

    def boolean(self, name: str) -> bool | None:
        return self._typed(name, bool)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong_type(name, "a number")
        if not least <= value <= most or not math.isfinite(value):
            raise self.invalid(name, f"expected a number from {least} to {most}")
        return float(value)

    def integer(self, name: str, least: int, most: int) -> int | None:
        value = self.raw.get(name)
        if isinstance(value, float) and value.is_integer():  # JavaScript does not tell 5 from 5.0
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong_type(name, "an integer")
        if not least <= value <= most:
            raise self.invalid(name, f"expected an integer from {least} to {most}")
        return value

    def choice(self, name: str, choices: Mapping[str, Choice]) -> Choice | None:
        value = self.string(name)
        if value is None:
            return None
        if value not in choices:
            raise self.invalid(name, f"supported values are {_listed(choices)}")
        return choices[value]

    def object(self, name: str) -> "Fields | None":
        value = self._typed(name, dict)
        return None if value is None else Fields(value, self.param(name))

    def objects(self, name: str) -> "list[Fields] | None":
        """Read an array of objects."""
        value = self._typed(name, list)
        if value is None:
            return None
        for place, entry in enumerate(value):
            if not isinstance(entry, dict):
                raise ProtocolError(
                    "invalid_type",
                    f"Invalid type for '{self.param(name)}[{place}]': expected an object.",
                    f"{self.param(name)}[{place}]",
                )
        return [Fields(entry, f"{self.param(name)}[{place}]") for place, entry in enumerate(value)]

    def required(self, name: str, value: Choice | None) -> Choice:
        """Return a value that was read, or raise ProtocolError if it is missing."""
        if value is None:
            param = self.param(name)
            raise ProtocolError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        return value

    def invalid(self, name: str, why: str) -> ProtocolError:
        param = self.param(name)
        return ProtocolError("invalid_value", f"Invalid value for '{param}': {why}.", param)

    def _typed(self, name: str, kind: type[Choice]) -> Choice | None:
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, kind):
            raise self.wrong_type(name, NAMES[kind])
        return value

    def wrong_type(self, name: str, wanted: str) -> ProtocolError:
        param = self.param(name)
        return ProtocolError("invalid_type", f"Invalid type for '{param}': expected {wanted}.", param)


def _listed(choices: Collection[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)
