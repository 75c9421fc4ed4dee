"""Finds the files that lines name: in a folder, in a zip archive, or already in the workspace."""

import io
import re
import stat
import struct
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from django.conf import settings

from datasets.errors import InvalidImport, InvalidSample
from datasets.importing.lines import AudioReference, displayable

MB = 1024 * 1024
JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")
STORED_ADDRESS = re.compile(r"(?:.*/)?([0-9a-f]{64})\.\w+")
# A zip bomb unpacks to a thousand times its size. So does digital silence: the ratio counts from 20 MB on.
MAX_RATIO, RATIO_COUNTS_FROM = 200, 20 * MB
DIRECTORY_BYTES_A_FILE = 1024  # of a zip's central directory, which is read into memory


def is_junk(name: str) -> bool:
    """Return whether it is a hidden file or one that file managers leave behind."""
    return any(part in JUNK or part.startswith(".") for part in PurePosixPath(name).parts)


def leaves_folder(name: str) -> bool:
    """Return whether a path is absolute, or leads out of the folder that it is relative to."""
    return name.startswith("/") or bool(re.match(r"[A-Za-z]:", name)) or ".." in name.split("/")


def normalized_path(name: str) -> str:
    """Return a path with forward slashes, in composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file of this machine. Raises InvalidSample."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidSample(f"The file cannot be read: {error.strerror}.") from error
    with stream:
        yield stream


class StoredFiles:
    """The files of a manifest uploaded alone: audio of the workspace, named by its address in an export."""

    def names(self) -> Sequence[str]:
        return []

    def find(self, name: str) -> AudioReference:
        if match := STORED_ADDRESS.fullmatch(name):
            return AudioReference(sha256=match[1])
        raise InvalidSample("The manifest came without audio files. Put both into one zip and import that.")


class FolderFiles:
    """Files below a folder of this machine. Links that lead out of it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def names(self) -> Sequence[str]:
        found = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())
        return sorted(name for name in found if not is_junk(name))

    def find(self, name: str) -> AudioReference:
        path = self._resolve(name)
        if not path.is_file():
            raise InvalidSample(f"There is no file {displayable(name)!r} in the folder of the import.")
        return AudioReference(open=partial(open_file, path))

    def _resolve(self, name: str) -> Path:
        forms = [name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]  # macOS writes NFD
        if "\x00" in name:
            raise InvalidSample("The file's name holds a NUL character.")
        path = next((p for p in (self._folder / form for form in forms) if p.exists()), self._folder / name).resolve()
        if leaves_folder(normalized_path(name)) or not path.is_relative_to(self._folder):
            raise InvalidSample(f"{displayable(name)!r} lies outside the folder of the import. Move the file into it.")
        return path


class ZipFiles:
    """Files in a zip archive. No file is ever written under a name from the archive.

    `unpacked` is the bytes that earlier slices of the same import have unpacked. Raises InvalidImport.
    """

    def __init__(self, archive: zipfile.ZipFile, unpacked: int = 0) -> None:
        self._archive = archive
        self._unpacked = unpacked
        self._lock = threading.Lock()
        self._entries = {}
        for entry in archive.infolist():
            name = normalized_path(_name_of(entry))
            if leaves_folder(name):
                raise InvalidImport(
                    f"The archive holds {displayable(name)!r}, a path that leads out of it. Pack it anew."
                )
            if not entry.is_dir() and not is_junk(name):
                self._entries[name] = entry
        if len(self._entries) > settings.MAX_IMPORT_FILES:
            raise InvalidImport(
                f"The archive holds more than {settings.MAX_IMPORT_FILES} files (MAX_IMPORT_FILES). Split it."
            )

    def names(self) -> Sequence[str]:
        return sorted(self._entries)

    def find(self, name: str) -> AudioReference:
        entry = self._entries.get(normalized_path(name))
        if leaves_folder(normalized_path(name)):
            raise InvalidSample(f"{displayable(name)!r} leads out of the archive.")
        if entry is None:
            raise InvalidSample(f"There is no file {displayable(name)!r} in the archive.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InvalidSample("This is a symbolic link. Pack the file itself.")
        if entry.flag_bits & 1:
            raise InvalidSample("This file is encrypted. Pack the archive without a password.")
        return AudioReference(open=partial(self.open, entry))

    def open_named(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self.open(self._entries[name])

    @contextmanager
    def open(self, entry: zipfile.ZipInfo) -> Iterator[BinaryIO]:
        with _zip_errors_refused():
            stream = self._archive.open(entry)
        with (
            stream,
            io.BufferedReader(_CountingReader(stream, entry.compress_size, self._count_unpacked), MB) as buffered,
        ):
            yield cast(BinaryIO, buffered)

    def _count_unpacked(self, size: int) -> None:
        with self._lock:
            self._unpacked += size
            if self._unpacked > settings.MAX_IMPORT_MB * MB:
                raise InvalidImport(
                    f"The archive unpacks to more than {settings.MAX_IMPORT_MB} MB (MAX_IMPORT_MB). Split it."
                )


class _CountingReader(io.RawIOBase):
    """Reads an entry and counts its unpacked bytes, since the sizes in an archive's headers can be false."""

    def __init__(self, stream: IO[bytes], packed: int, spend: Callable[[int], None]) -> None:
        self._stream = stream
        self._limit = max(packed * MAX_RATIO, RATIO_COUNTS_FROM)
        self._count_unpacked = spend

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _zip_errors_refused():
            data = self._stream.read(len(buffer))
        self._limit -= len(data)
        if self._limit < 0:
            raise InvalidSample(f"This file unpacks to more than {MAX_RATIO} times its size, as a zip bomb does.")
        self._count_unpacked(len(data))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _zip_errors_refused() -> Iterator[None]:
    """Raise InvalidSample for what zipfile and its decompressors raise on damaged or unknown data."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InvalidSample(f"This file cannot be unpacked ({error}). Pack the archive anew.") from error


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Open the zip archive in `file`. Raises InvalidImport."""
    if _directory_size(file) > settings.MAX_IMPORT_FILES * DIRECTORY_BYTES_A_FILE:
        raise InvalidImport(
            f"The archive holds more than {settings.MAX_IMPORT_FILES} files (MAX_IMPORT_FILES). Split it."
        )
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InvalidImport(f"The archive cannot be read ({error}). Pack it anew.") from error


def _directory_size(file: BinaryIO) -> int:
    """Return the bytes of a zip's central directory, which zipfile reads into memory. Raises InvalidImport."""
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - 22 - 65535 - 20)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        raise InvalidImport("The archive has no table of contents: it is cut off. Upload the whole file.")
    directory = int(struct.unpack_from("<L", tail, at + 12)[0])
    if directory == 0xFFFFFFFF and at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        file.seek(struct.unpack_from("<Q", tail, at - 12)[0] + 40)
        directory = int.from_bytes(file.read(8), "little")
    return directory


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name. Many programs write UTF-8 without its flag, which zipfile decodes as code page 437."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeError:
        return entry.filename
