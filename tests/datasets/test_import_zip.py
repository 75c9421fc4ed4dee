"""Zip archives: honest ones in all their habits, and hostile ones."""

import io
import stat
import struct
import zipfile

import pytest

from datasets.models import Audio, Sample
from tests.audio import make_wav
from tests.datasets.conftest import problems

pytestmark = pytest.mark.django_db


def archive(files, compression=zipfile.ZIP_DEFLATED):
    """A zip of {name or ZipInfo: content}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def keys():
    return list(Sample.objects.order_by("id").values_list("key", flat=True))


def test_a_zip_without_a_manifest_is_imported_by_file_names(import_into, dataset):
    ended = import_into(dataset, archive({"b.wav": make_wav(freq=300), "calls/a.wav": make_wav()}))
    assert ended.status == "completed"
    assert keys() == ["b.wav", "calls/a.wav"]
    assert set(Sample.objects.values_list("reference", flat=True)) == {None}


@pytest.mark.parametrize("folder", ["", "my data/"])
@pytest.mark.parametrize("name", ["manifest.csv", "Transcripts.csv"])
def test_a_zip_with_a_manifest_is_imported_by_it(import_into, dataset, folder, name):
    files = {
        f"{folder}{name}": "file,reference\naudio/a.wav,hello\n./audio\\b.wav,bye\n",
        f"{folder}audio/a.wav": make_wav(),
        f"{folder}audio/b.wav": make_wav(freq=300),
        f"{folder}README.txt": "not named by the manifest",
    }
    ended = import_into(dataset, archive(files))
    assert ended.status == "completed", problems(ended)
    assert list(Sample.objects.values_list("reference", flat=True)) == ["hello", "bye"]


def test_what_file_managers_leave_behind_is_ignored(import_into, dataset):
    junk = ["__MACOSX/._a.wav", ".DS_Store", "folder/", "folder/.DS_Store", "Thumbs.db", "._a.wav"]
    files = {"a.wav": make_wav(), **dict.fromkeys(junk, b"")}
    assert import_into(dataset, archive(files)).status == "completed"
    assert keys() == ["a.wav"]


def test_a_file_that_is_no_audio_is_a_problem_of_its_own(import_into, dataset):
    ended = import_into(dataset, archive({"a.wav": make_wav(), "notes.txt": "hello", "z.zip": archive({"a": b"b"})}))
    assert ended.status == "failed"
    assert "not audio" in problems(ended)[2]
    assert "zip archive" in problems(ended)[3]


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_without_a_flag_are_read_as_they_were_meant(import_into, dataset, encoding):
    name = "gr\u00fc\u00df.wav"
    stand_in = "x" * len(name.encode(encoding))
    data = archive({stand_in: make_wav()}).replace(stand_in.encode(), name.encode(encoding))
    assert import_into(dataset, data).status == "completed"
    assert keys() == [name]


def test_flagged_utf8_names_are_read(import_into, dataset):
    import_into(dataset, archive({"日本 語.wav": make_wav(), "ñ" * 100 + ".wav": make_wav(freq=300)}))
    assert set(keys()) == {"日本 語.wav", "ñ" * 100 + ".wav"}


@pytest.mark.parametrize("name", ["../up.wav", "a/../../up.wav", "/etc/up.wav", "C:\\up.wav", "..\\up.wav"])
def test_an_archive_with_a_path_that_leads_out_is_refused(import_into, dataset, tmp_path, name):
    files = {"good.wav": make_wav()}
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    ended = import_into(dataset, archive({**files, entry: make_wav(freq=300)}), skip_bad=True)
    assert ended.status == "failed"
    assert "leads out of it" in ended.error
    assert keys() == []
    assert not list(tmp_path.rglob("up.wav"))


def test_a_manifest_cannot_name_a_file_outside_of_the_archive(import_into, dataset):
    files = {"data/manifest.csv": "file\n../a.wav\n/etc/passwd\n", "data/b.wav": make_wav(), "a.wav": make_wav()}
    ended = import_into(dataset, archive(files))
    assert all("leads out" in problem for problem in problems(ended).values())
    assert len(problems(ended)) == 2


def test_a_symbolic_link_is_not_followed(import_into, dataset):
    link = zipfile.ZipInfo("link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    ended = import_into(dataset, archive({"a.wav": make_wav(), link: "/etc/passwd"}))
    assert "symbolic link" in problems(ended)[2]


def test_an_encrypted_file_is_a_problem(import_into, dataset):
    data = bytearray(archive({"a.wav": make_wav()}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        data[at] |= 1
    assert "without a password" in problems(import_into(dataset, bytes(data)))[1]


def test_damaged_and_unknown_compression_are_problems(import_into, dataset):
    data = bytearray(archive({"a.wav": make_wav(), "b.wav": make_wav(freq=300)}, zipfile.ZIP_STORED))
    at = data.index(b"data", data.index(b"b.wav"))
    data[at + 100 : at + 200] = b"\0" * 100
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, 77)
    struct.pack_into("<H", data, 8, 77)
    found = problems(import_into(dataset, bytes(data)))
    assert "cannot be unpacked" in found[1]
    assert "cannot be unpacked" in found[2]


def test_an_archive_that_was_cut_off_is_refused(import_into, dataset):
    data = archive({"a.wav": make_wav(), "b.wav": make_wav()})
    assert "cut off" in import_into(dataset, data[: len(data) // 2]).error


def test_an_empty_archive_is_refused(import_into, dataset):
    assert "no files" in import_into(dataset, archive({})).error


def test_two_manifests_are_refused(import_into, dataset):
    assert "several manifests" in import_into(dataset, archive({"a.csv": "file\n", "b.jsonl": "{}"})).error


# --- Bombs ----------------------------------------------------------------------------------------------------


def test_a_file_that_unpacks_a_thousandfold_is_refused(import_into, dataset):
    bomb = archive({"a.wav": make_wav()[:44] + bytes(60_000_000)})
    assert len(bomb) < 100_000
    ended = import_into(dataset, bomb)
    assert "zip bomb" in problems(ended)[1]
    assert not Audio.objects.exists()


def test_the_unpacked_size_is_counted_and_limited(import_into, dataset, settings):
    settings.MAX_IMPORT_MB = 1
    files = {f"{n}.wav": make_wav(10, freq=300 + n) for n in range(6)}  # 320 kB each
    ended = import_into(dataset, archive(files), skip_bad=True)
    assert ended.status == "failed"
    assert "unpacks to more than 1 MB" in ended.error
    assert keys() == []


def test_the_unpacked_size_is_counted_over_all_slices(import_into, dataset, settings):
    settings.MAX_IMPORT_MB, settings.SLICE_SECONDS = 1, -1
    files = {f"{n}.wav": make_wav(10, freq=300 + n) for n in range(6)}
    assert "unpacks to more than 1 MB" in import_into(dataset, archive(files)).error


def test_a_manifest_that_unpacks_a_thousandfold_is_refused(import_into, dataset):
    manifest = b"file,reference\n" + (b"a.wav," + b"x" * 50_000 + b"\n") * 1200
    ended = import_into(dataset, archive({"manifest.csv": manifest, "a.wav": make_wav()}))
    assert ended.status == "failed"
    assert "zip bomb" in ended.error


def test_one_audio_file_above_its_limit_is_refused_while_it_is_unpacked(import_into, dataset, settings):
    settings.MAX_AUDIO_MB = 1
    ended = import_into(dataset, archive({"a.wav": make_wav(), "b.wav": make_wav(60)}))
    assert "larger than 1 MB" in problems(ended)[2]


def test_too_many_files_are_refused(import_into, dataset, settings):
    settings.MAX_IMPORT_FILES = 3
    assert "more than 3 files" in import_into(dataset, archive({f"{n}.wav": b"x" for n in range(4)})).error


def test_a_huge_table_of_contents_is_refused_before_it_is_read(import_into, dataset, settings):
    settings.MAX_IMPORT_FILES = 3
    names = {f"{'n' * 200}{n}": b"" for n in range(20)}
    assert "more than 3 files" in import_into(dataset, archive(names)).error


def test_entries_that_share_their_bytes_are_all_counted(import_into, dataset, settings):
    """Many names in the table of contents for the same compressed bytes."""
    settings.MAX_IMPORT_MB = 1
    data = archive({f"{n:03}.wav": make_wav(4) for n in range(12)})
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        first = made.infolist()[0].header_offset
    shared, at = bytearray(data), 0
    while (at := shared.find(b"PK\x01\x02", at)) >= 0:
        struct.pack_into("<L", shared, at + 42, first)
        at += 4
    ended = import_into(dataset, bytes(shared), skip_bad=True)
    assert keys() == ["000.wav"] or ended.status == "failed"
