"""Reads manifests, csv and jsonl, line by line."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from django.conf import settings

from datasets.cleaning import COLUMNS
from datasets.errors import InvalidImport, InvalidSample
from datasets.importing.lines import Files, Line, line_of_row

LONGEST_LINE = 2 * 1024 * 1024  # characters; ten hours of speech fit
LARGEST_MANIFEST = 512 * 1024 * 1024  # characters
LINES_A_ROW = 10  # on average, at most: empty lines and texts of several lines
DELIMITERS = ",;\t"
csv.field_size_limit(LONGEST_LINE)


@dataclass(frozen=True)
class Row:
    """A row of a manifest: its values by column, or in `problem` why they cannot be read."""

    number: int
    values: dict[str, Any]
    problem: str = ""


class ManifestSource:
    """The lines of a manifest whose audio lies in `files`."""

    def __init__(self, name: str, open_manifest: Callable[[], AbstractContextManager[BinaryIO]], files: Files) -> None:
        self.name = name
        self._open = open_manifest
        self._files = files

    def count(self) -> int:
        return sum(1 for _ in self._rows())

    def lines(self, after: int) -> Iterator[Line]:
        for row in self._rows():
            if row.number <= after:
                continue
            if row.problem:
                yield Line(row.number, "", problem=row.problem)
            else:
                yield line_of_row(row.number, row.values, self._files)

    def _rows(self) -> Iterator[Row]:
        with self._open() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            try:
                for count, row in enumerate(_read(text), start=1):
                    if count > settings.MAX_IMPORT_FILES:
                        raise InvalidImport(
                            f"There are more than {settings.MAX_IMPORT_FILES} lines (MAX_IMPORT_FILES). Split them."
                        )
                    yield row
            except UnicodeDecodeError as error:
                raise InvalidImport("The manifest is not UTF-8. Save it as 'CSV UTF-8' or JSON lines.") from error
            except InvalidSample as error:  # it cannot be unpacked
                raise InvalidImport(f"The manifest cannot be read. {error.message}") from error
            finally:
                text.detach()  # whoever opened the stream closes it


class _PhysicalLines:
    """Counts and limits the lines of a text, so that an endless one does not fill the memory or block the worker.

    Raises InvalidImport.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._size = 0
        self.number = 0

    def __iter__(self) -> "_PhysicalLines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._size += len(line)
        if self.number > settings.MAX_IMPORT_FILES * LINES_A_ROW or self._size > LARGEST_MANIFEST:
            raise InvalidImport(f"The manifest is too large: {self.number} lines and no end. Split it.")
        if len(line) > LONGEST_LINE:
            raise InvalidImport(f"Line {self.number} is longer than {LONGEST_LINE} characters: is this a manifest?")
        return line


def _read(text: io.TextIOWrapper) -> Iterator[Row]:
    lines = _PhysicalLines(text)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise InvalidImport("The manifest is empty.")
    return _jsonl(first, lines) if first.lstrip().startswith("{") else _csv(first, lines)


def _jsonl(first: str, lines: _PhysicalLines) -> Iterator[Row]:
    for line in chain([first], lines):
        if line.strip():
            yield _json_row(lines.number, line)


def _json_row(number: int, line: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"This is not JSON: {error}.")
    if not isinstance(values, dict):
        return Row(number, {}, 'The line must be an object such as {"file": "a.wav", "reference": "hello"}.')
    return Row(number, values)


def _csv(first: str, lines: _PhysicalLines) -> Iterator[Row]:
    header, delimiter = _header(first)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = lines.number + 1  # a row may go over several lines: it is named by its first
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(number, {}, f"The row cannot be read ({error}). Check its quotes.")
            continue
        if cells is None:
            return
        if cells:
            yield _csv_row(number, header, cells)


def _csv_row(number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        return Row(number, {}, f"The row has {len(cells)} cells, the header {len(header)}. Check commas and quotes.")
    values: dict[str, Any] = {name: cell for name, cell in zip(header, cells, strict=True) if name or cell}
    values["reference"] = values.get("reference") or None
    return Row(number, values)


def _header(line: str) -> tuple[list[str], str]:
    """Column names, and what separates them. Raises InvalidImport."""
    for delimiter in DELIMITERS:
        names = [_column(cell) for cell in next(csv.reader([line], delimiter=delimiter))]
        if "file" in names or "text" in names:
            break
    else:
        raise InvalidImport(
            "The first line must name the columns, with 'file' (or 'text', for text to speech) among them. "
            f"Known are {', '.join(COLUMNS)}; others become tags."
        )
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise InvalidImport(f"The column {doubled[0]!r} is there twice. Rename one of them.")
    return names, delimiter


def _column(cell: str) -> str:
    name = cell.strip()
    return name.lower() if name.lower() in COLUMNS else name
