"""The lines of an import, numbered, and how a file or a manifest's row becomes one."""

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
class AudioReference:
    """The audio that a line names: a file to open, or the SHA-256 of audio that the workspace already has."""

    open: Opener | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Line:
    """A sample to be created, or in `problem` why it cannot be."""

    number: int
    name: str  # as the source calls it; for display only
    key: str = ""
    audio: AudioReference | None = None
    text: str = ""
    reference: str | None = None
    language: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class Files(Protocol):
    """The audio files that lines name."""

    def names(self) -> Sequence[str]:
        """List the files, sorted; hidden files and those of file managers are left out."""

    def find(self, name: str) -> AudioReference:
        """Return the file's audio. Raises InvalidSample where there is none, or it must not be read."""


class Source(Protocol):
    """Yields the lines of an import. Reading it again gives the same lines with the same numbers."""

    def count(self) -> int: ...

    def lines(self, after: int) -> Iterator[Line]:
        """Yield the lines with a number above `after`. Raises InvalidImport."""


def line_of_file(number: int, name: str, files: Files) -> Line:
    """Make a line of a file without a manifest; its path is its key."""
    try:
        return Line(number, displayable(name), key=clean_key(name), audio=files.find(name))
    except EarshotError as error:
        return Line(number, displayable(name), problem=error.message)


def line_of_row(number: int, row: Mapping[str, Any], files: Files) -> Line:
    """Make a line of a manifest's row. Unknown columns become tags."""
    name = displayable(row.get("file") or row.get("text") or row.get("key") or "")
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
    """Return the row's reference. None: unknown. Empty: no speech, which csv can only say by `no_speech`."""
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


def displayable(name: object) -> str:
    """Return a name from a file or row as one line that can be displayed."""
    return clean_key(str(name))
