"""What an import is made of: numbered lines, whatever they are read from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from core.errors import EarshotError
from datasets.cleaning import COLUMNS, clean_key, clean_language, clean_tags, clean_text
from datasets.errors import InvalidSample

Opener = Callable[[], AbstractContextManager[BinaryIO]]
YES, NO = ("true", "1", "yes"), ("false", "0", "no", "")


@dataclass(frozen=True)
class Audible:
    """Audio that a line names: a file to be opened, or the hash of what the workspace already has."""

    open: Opener | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Line:
    """One sample to be, or why it cannot be one (`problem`)."""

    number: int
    name: str  # as the source calls it; only shown
    key: str = ""
    audio: Audible | None = None
    text: str = ""
    reference: str | None = None
    language: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class Files(Protocol):
    """The audio files that lines name."""

    def names(self) -> Sequence[str]:
        """All of them, sorted; without what file managers leave behind."""

    def find(self, name: str) -> Audible:
        """Raises InvalidSample where there is no such file, or it must not be read."""


class Source(Protocol):
    """Where lines come from. Reading it again gives the same lines with the same numbers."""

    def count(self) -> int: ...

    def lines(self, after: int) -> Iterator[Line]:
        """The lines with a number above `after`. Raises InvalidImport."""


def line_of_file(number: int, name: str, files: Files) -> Line:
    """A file without a manifest: its path is its key."""
    try:
        return Line(number, shown(name), key=clean_key(name), audio=files.find(name))
    except EarshotError as error:
        return Line(number, shown(name), problem=error.message)


def line_of_row(number: int, row: Mapping[str, Any], files: Files) -> Line:
    """A row of a manifest. Columns beside the known ones are tags."""
    name = shown(row.get("file") or row.get("text") or row.get("key") or "")
    try:
        return _line_of_row(number, name, row, files)
    except EarshotError as error:
        return Line(number, name, problem=error.message)


def _line_of_row(number: int, name: str, row: Mapping[str, Any], files: Files) -> Line:
    file, text, key = (_text(row, column) or "" for column in ("file", "text", "key"))
    return Line(
        number,
        name,
        key=clean_key(key) or clean_key(file) or clean_key(text[:80]),
        audio=files.find(file) if file else None,
        text=text,
        reference=_reference(row),
        language=clean_language(_text(row, "language") or ""),
        tags=clean_tags({column: value for column, value in row.items() if column not in COLUMNS}),
    )


def _reference(row: Mapping[str, Any]) -> str | None:
    """None: unknown. Empty: known to be silence, which a csv can only say by `no_speech`."""
    reference = _text(row, "reference")
    silent = str(row.get("no_speech") or "").strip().lower()
    if silent not in YES + NO:
        raise InvalidSample(f"no_speech is {silent[:40]!r}; it must be true or false.")
    if silent in YES and reference:
        raise InvalidSample("no_speech is true, but there is a reference. Keep one of them.")
    return "" if silent in YES else reference


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is not None and not isinstance(value, str):
        raise InvalidSample(f"{column} must be a text, not {type(value).__name__}.")
    return None if value is None else clean_text(value, column)


def shown(name: object) -> str:
    """A name from outside, fit for a report."""
    return clean_key(str(name))
