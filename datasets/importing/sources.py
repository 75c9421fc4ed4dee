"""Opens what is imported as a Source of lines: a folder, a zip archive, or a manifest alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from datasets.errors import InvalidImport, InvalidSample
from datasets.importing.files import (
    MB,
    FolderFiles,
    StoredFiles,
    ZipFiles,
    leaves_folder,
    normalized_path,
    open_archive,
    open_file,
)
from datasets.importing.lines import AudioReference, Files, Line, Source, displayable, line_of_file
from datasets.importing.manifest import ManifestSource

MANIFESTS = (".csv", ".jsonl")


class ListedSource:
    """Yields a line for each file, sorted by name."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def count(self) -> int:
        count = len(self._files.names())
        if count > settings.MAX_IMPORT_FILES:
            raise InvalidImport(f"There are {count} files; {settings.MAX_IMPORT_FILES} may be (MAX_IMPORT_FILES).")
        return count

    def lines(self, after: int) -> Iterator[Line]:
        for number, name in enumerate(self._files.names(), start=1):
            if number > after:
                yield line_of_file(number, name, self._files)


class _Subfolder:
    """Files of an archive by names relative to the manifest's folder."""

    def __init__(self, files: ZipFiles, folder: str) -> None:
        self._files = files
        self._folder = folder

    def names(self) -> list[str]:
        return [name for name in self._files.names() if name.startswith(self._folder)]

    def find(self, name: str) -> AudioReference:
        if leaves_folder(normalized_path(name)):
            raise InvalidSample(f"{displayable(name)!r} leads out of the manifest's folder.")
        return self._files.find(self._folder + normalized_path(name))


@contextmanager
def open_upload(file: BinaryIO, unpacked: int = 0) -> Iterator[Source]:
    """Open an uploaded zip, csv or jsonl, which must be seekable. Raises InvalidImport.

    `unpacked` is the bytes that earlier slices have unpacked.
    """
    if _is_zip(file):
        with open_archive(file) as archive:
            yield _zip_source(ZipFiles(archive, unpacked))
    else:
        yield ManifestSource("manifest", partial(_rewound, file), StoredFiles())


@contextmanager
def open_path(path: Path) -> Iterator[Source]:
    """Open a folder, zip or manifest of this machine. Raises InvalidImport."""
    if path.is_dir():
        files = FolderFiles(path)
        name = _manifest_among([name for name in files.names() if "/" not in name])
        yield ManifestSource(name, partial(open_file, path / name), files) if name else ListedSource(files)
    elif not path.is_file():
        raise InvalidImport(f"There is no file or folder {path}.")
    else:
        with path.open("rb") as file:
            if _is_zip(file):
                with open_archive(file) as archive:
                    yield _zip_source(ZipFiles(archive))
            else:
                yield ManifestSource(path.name, partial(_rewound, file), FolderFiles(path.parent))


def check_upload(file: BinaryIO) -> None:
    """Raise InvalidImport where size or first bytes show that `file` cannot be imported."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(4096)
    file.seek(0)
    if not head:
        raise InvalidImport("The file is empty.")
    if size > settings.MAX_IMPORT_MB * MB:
        raise InvalidImport(f"The file is larger than {settings.MAX_IMPORT_MB} MB (MAX_IMPORT_MB). Split it.")
    if b"\x00" in head and not head.startswith(b"PK"):
        raise InvalidImport("The file is neither a zip archive nor a csv or jsonl manifest in UTF-8.")


def _zip_source(files: ZipFiles) -> Source:
    names = files.names()
    manifests = [name for name in names if name.lower().endswith(MANIFESTS)]
    top = min((name.count("/") for name in manifests), default=0)
    name = _manifest_among([name for name in manifests if name.count("/") == top])
    if not names:
        raise InvalidImport("The archive holds no files.")
    if not name:
        return ListedSource(files)
    return ManifestSource(name, partial(files.open_named, name), _Subfolder(files, name[: name.rfind("/") + 1]))


def _manifest_among(names: list[str]) -> str:
    """Return the manifest's name: `manifest.*`, or else the only csv or jsonl; empty where there is none.

    Raises InvalidImport where there are several.
    """
    found = [name for name in names if name.lower().endswith(MANIFESTS)]
    called_so = [name for name in found if name.lower().rsplit("/", 1)[-1] in ("manifest.csv", "manifest.jsonl")]
    candidates = called_so or found
    if len(candidates) > 1:
        raise InvalidImport(f"There are several manifests: {', '.join(candidates[:5])}. Leave one.")
    return candidates[0] if candidates else ""


def _is_zip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _rewound(file: BinaryIO) -> AbstractContextManager[BinaryIO]:
    file.seek(0)
    return nullcontext(file)
