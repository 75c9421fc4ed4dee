"""Named temporary files in one private folder. Files that a killed process has left are found and removed.

The process that makes a file locks it. The kernel releases the lock when the process ends, also by a kill.
"""

import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path
from tempfile import _TemporaryFileWrapper
from typing import Any

from django.core.files.uploadhandler import TemporaryFileUploadHandler

GRACE_SECONDS = 60.0  # seconds that unlocked files are kept: a new one may not be locked yet


def folder(name: str = "earshot") -> Path:
    """Return our folder of that name among the temporary files, which only this user can read; creates it.

    Raises PermissionError if another user may have made it: it could be a link to a folder whose files are removed.
    """
    found = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
    found.mkdir(mode=0o700, exist_ok=True)
    facts = found.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise PermissionError(f"{found} is no private folder of this user. Remove it, or set TMPDIR.")
    return found


def named_file(suffix: str = "") -> "_TemporaryFileWrapper[bytes]":
    """Create a file that is deleted when it is closed."""
    file = tempfile.NamedTemporaryFile(dir=folder(), suffix=suffix)  # noqa: SIM115 - the caller closes it
    hold(file.fileno())
    return file


def hold(descriptor: int) -> None:
    """Lock an open file, until it is closed, against `remove_left_over`."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def remove_left_over(where: Path | None = None) -> None:
    """Remove the files in `where` (None: in `folder()`) that no process has locked."""
    for path in (where or folder()).iterdir():
        try:
            if path.is_file() and path.stat().st_mtime < time.time() - GRACE_SECONDS and not _is_held(path):
                path.unlink()
        except FileNotFoundError:  # gone meanwhile
            continue


def _is_held(path: Path) -> bool:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class UploadHandler(TemporaryFileUploadHandler):
    """Keeps uploads that are too large for memory in `folder()`."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        folder()  # it may have been removed meanwhile
        super().new_file(*args, **kwargs)
        hold(self.file.fileno())
