"""Files that lines name: in a folder, in a zip archive, or already in the workspace."""

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
from datasets.importing.lines import Audible, shown

MB = 1024 * 1024
JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")
STORED_ADDRESS = re.compile(r"(?:.*/)?([0-9a-f]{64})\.\w+")
# A zip bomb unpacks a thousandfold. So does digital silence: short ones are let through.
MAX_RATIO, RATIO_COUNTS_FROM = 200, 20 * MB
DIRECTORY_BYTES_A_FILE = 1024  # of a zip's table of contents, which has to be read at once


def is_junk(name: str) -> bool:
    """True for what file managers leave behind, and for hidden files."""
    return any(part in JUNK or part.startswith(".") for part in PurePosixPath(name).parts)


def climbs(name: str) -> bool:
    """True where a path leaves the folder that it is relative to."""
    return name.startswith("/") or bool(re.match(r"[A-Za-z]:", name)) or ".." in name.split("/")


def slashes(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidSample(f"The file cannot be read: {error.strerror}.") from error
    with stream:
        yield stream


class StoredFiles:
    """No files came along: a line can name only audio that the workspace has, by its address in an export."""

    def names(self) -> Sequence[str]:
        return []

    def find(self, name: str) -> Audible:
        if match := STORED_ADDRESS.fullmatch(name):
            return Audible(sha256=match[1])
        raise InvalidSample("The manifest came without audio files. Put both into one zip and import that.")


class FolderFiles:
    """Files below a folder of this machine. Links that lead out of it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def names(self) -> Sequence[str]:
        found = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())
        return sorted(name for name in found if not is_junk(name))

    def find(self, name: str) -> Audible:
        path = self._resolve(name)
        if not path.is_file():
            raise InvalidSample(f"There is no file {shown(name)!r} in the folder of the import.")
        return Audible(open=partial(open_file, path))

    def _resolve(self, name: str) -> Path:
        forms = [name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]  # macOS writes NFD
        if "\x00" in name:
            raise InvalidSample("The file's name holds a NUL character.")
        path = next((p for p in (self._folder / form for form in forms) if p.exists()), self._folder / name).resolve()
        if climbs(slashes(name)) or not path.is_relative_to(self._folder):
            raise InvalidSample(f"{shown(name)!r} lies outside the folder of the import. Move the file into it.")
        return path


class ZipFiles:
    """Files in a zip archive. Nothing is ever unpacked under a name from the archive.

    `unpacked` is how many bytes earlier slices of the same import took out already.
    """

    def __init__(self, archive: zipfile.ZipFile, unpacked: int = 0) -> None:
        self._archive = archive
        self._unpacked = unpacked
        self._lock = threading.Lock()
        self._entries = {}
        for entry in archive.infolist():
            name = slashes(_name_of(entry))
            if climbs(name):
                raise InvalidImport(f"The archive holds {shown(name)!r}, a path that leads out of it. Pack it anew.")
            if not entry.is_dir() and not is_junk(name):
                self._entries[name] = entry
        if len(self._entries) > settings.MAX_IMPORT_FILES:
            raise InvalidImport(
                f"The archive holds more than {settings.MAX_IMPORT_FILES} files (MAX_IMPORT_FILES). Split it."
            )

    def names(self) -> Sequence[str]:
        return sorted(self._entries)

    def find(self, name: str) -> Audible:
        entry = self._entries.get(slashes(name))
        if climbs(slashes(name)):
            raise InvalidSample(f"{shown(name)!r} leads out of the archive.")
        if entry is None:
            raise InvalidSample(f"There is no file {shown(name)!r} in the archive.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InvalidSample("This is a symbolic link. Pack the file itself.")
        if entry.flag_bits & 1:
            raise InvalidSample("This file is encrypted. Pack the archive without a password.")
        return Audible(open=partial(self.open, entry))

    def open_named(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self.open(self._entries[name])

    @contextmanager
    def open(self, entry: zipfile.ZipInfo) -> Iterator[BinaryIO]:
        with _unpacking():
            stream = self._archive.open(entry)
        with stream, io.BufferedReader(_Metered(stream, entry.compress_size, self._spend), MB) as buffered:
            yield cast(BinaryIO, buffered)

    def _spend(self, size: int) -> None:
        with self._lock:
            self._unpacked += size
            if self._unpacked > settings.MAX_IMPORT_MB * MB:
                raise InvalidImport(
                    f"The archive unpacks to more than {settings.MAX_IMPORT_MB} MB (MAX_IMPORT_MB). Split it."
                )


class _Metered(io.RawIOBase):
    """What really comes out of an entry, counted: the sizes in an archive's headers are anybody's."""

    def __init__(self, stream: IO[bytes], packed: int, spend: Callable[[int], None]) -> None:
        self._stream = stream
        self._limit = max(packed * MAX_RATIO, RATIO_COUNTS_FROM)
        self._spend = spend

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _unpacking():
            data = self._stream.read(len(buffer))
        self._limit -= len(data)
        if self._limit < 0:
            raise InvalidSample(f"This file unpacks to more than {MAX_RATIO} times its size, as a zip bomb does.")
        self._spend(len(data))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _unpacking() -> Iterator[None]:
    """Turns what zipfile and its decompressors raise on damaged or unknown data into a refusal."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InvalidSample(f"This file cannot be unpacked ({error}). Pack the archive anew.") from error


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """The archive in `file`. Raises InvalidImport."""
    if _directory_size(file) > settings.MAX_IMPORT_FILES * DIRECTORY_BYTES_A_FILE:
        raise InvalidImport(
            f"The archive holds more than {settings.MAX_IMPORT_FILES} files (MAX_IMPORT_FILES). Split it."
        )
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InvalidImport(f"The archive cannot be read ({error}). Pack it anew.") from error


def _directory_size(file: BinaryIO) -> int:
    """Bytes of a zip's table of contents, which zipfile reads into memory at once."""
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
    """An entry's name. Many programs write UTF-8 without saying so; zipfile takes it for code page 437 then."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeError:
        return entry.filename
