"""Exports datasets as files that can be imported again; streamed, so that memory does not grow with the dataset."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from datasets.audio_source import StoredAudio
from datasets.cleaning import COLUMNS
from datasets.models import Audio, Dataset, Sample

ROWS_AT_ONCE = 500
CHUNK = 1024 * 1024  # bytes


def export_dataset(dataset: Dataset, file_format: str) -> Iterator[bytes]:
    """Yield the dataset as "csv" or "jsonl" (its manifest) or "zip" (a manifest and the original audio)."""
    return {"csv": _csv, "jsonl": _jsonl, "zip": _zip}[file_format](dataset)


def _csv(dataset: Dataset) -> Iterator[bytes]:
    tags = _tag_names(dataset)
    yield _csv_line([*COLUMNS, *tags])
    for sample in _samples(dataset):
        row = _row(sample)
        row["no_speech"] = "true" if sample.reference == "" else ""
        yield _csv_line(["" if (value := row.get(name)) is None else value for name in (*COLUMNS, *tags)])


def _csv_line(cells: list[Any]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _jsonl(dataset: Dataset) -> Iterator[bytes]:
    for sample in _samples(dataset):
        yield json.dumps(_row(sample), ensure_ascii=False).encode() + b"\n"


def _row(sample: Sample) -> dict[str, str | None]:
    file = _address(sample.audio) if sample.audio else ""
    known = {"file": file, "key": sample.key, "reference": sample.reference}
    return {**known, "language": sample.language, "text": sample.text, **sample.tags}


def _address(audio: Audio) -> str:
    return "audio/" + str(audio.file.name).rsplit("/", 1)[-1]


def _tag_names(dataset: Dataset) -> list[str]:
    """The names of all tags, in the order in which they first appear."""
    names: dict[str, None] = {}
    for sample in _samples(dataset):
        names |= dict.fromkeys(sample.tags)
    return list(names)


def _samples(dataset: Dataset) -> Iterator[Sample]:
    """Query all samples in slices, so that no cursor stays open during a slow download."""
    last = 0
    rows = dataset.samples.with_audio_facts().order_by("pk")
    while found := list(rows.filter(pk__gt=last)[:ROWS_AT_ONCE]):
        yield from found
        last = found[-1].pk


def _audio(dataset: Dataset) -> Iterator[Audio]:
    """Each audio of the dataset once."""
    last = 0
    rows = Audio.objects.filter(samples__dataset=dataset).defer("peaks").distinct().order_by("pk")
    while found := list(rows.filter(pk__gt=last)[:ROWS_AT_ONCE]):
        yield from found
        last = found[-1].pk


class _Pipe(io.RawIOBase):
    """Buffers what zipfile writes until it is fetched; not seekable, so that zipfile never goes back."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def fetch(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


def _zip(dataset: Dataset) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        yield from _entry(archive, pipe, "manifest.jsonl", _jsonl(dataset))
        for audio in _audio(dataset):
            yield from _entry(archive, pipe, _address(audio), _content(audio))
    yield pipe.fetch()


def _entry(archive: zipfile.ZipFile, pipe: _Pipe, name: str, content: Iterator[bytes]) -> Iterator[bytes]:
    with archive.open(name, "w", force_zip64=True) as entry:
        for chunk in content:
            entry.write(chunk)
            yield pipe.fetch()
    yield pipe.fetch()


def _content(audio: Audio) -> Iterator[bytes]:
    with StoredAudio(audio).open() as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
