"""No audio of anybody lies about in temporary files, however the process ended that made them."""

import io
import os
import signal
import stat
import subprocess
import sys
import tempfile

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile

from core import temporary
from core.child_process import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "GRACE_SECONDS", -60.0)
    return temporary.folder()


def test_the_folder_is_private(folder, tmp_path):
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_somebody_else_is_refused(monkeypatch, folder):
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    folder.rename(folder.with_name(f"earshot-{me + 1}"))
    with pytest.raises(PermissionError, match="is no private folder of this user"):
        temporary.folder()


def test_what_somebody_holds_stays_and_is_gone_when_it_is_closed(folder):
    with temporary.named_file(".wav") as file:
        temporary.remove_left_over()
        assert [str(path) for path in folder.iterdir()] == [file.name]
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_leaves_is_removed(folder):
    script = (
        "import sys, time\n"
        "from core.temporary import named_file\n"
        "file = named_file('.wav')\n"
        "print(file.name, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(folder.parent)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        temporary.remove_left_over()
        assert len(list(folder.iterdir())) == 1
        os.kill(process.pid, signal.SIGKILL)
    assert len(list(folder.iterdir())) == 1
    temporary.remove_left_over()
    assert list(folder.iterdir()) == []


def test_a_file_that_was_just_made_stays_until_its_maker_can_hold_it(folder, monkeypatch):
    monkeypatch.setattr(temporary, "GRACE_SECONDS", 60.0)
    (folder / "new").touch()
    temporary.remove_left_over()
    assert (folder / "new").exists()


def test_an_upload_that_is_read_is_held_in_the_folder(folder, settings, rf):
    settings.FILE_UPLOAD_TEMP_DIR = str(folder)
    file = io.BytesIO(bytes(2 * 1024 * 1024))
    file.name = "a.wav"
    upload = rf.post("/", {"audio": file}).FILES["audio"]
    assert isinstance(upload, TemporaryUploadedFile)
    assert upload.temporary_file_path().startswith(str(folder))
    temporary.remove_left_over()
    assert len(list(folder.iterdir())) == 1
    upload.close()
    assert list(folder.iterdir()) == []
