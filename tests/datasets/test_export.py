"""An export gives back what an import takes, exactly."""

import csv
import io
import json
import tracemalloc
import zipfile

import pytest

from datasets.exporting import export_dataset
from datasets.models import Audio, Sample
from datasets.services import add_text_sample, create_dataset
from tests.audio import encode, make_wav

pytestmark = pytest.mark.django_db

QUOTED = ' "quoted", with; commas\nand\r\nlines\t'
AWKWARD = ["plain", None, "", QUOTED, "日本語 🎙️ \u2028 end", "=1+1", "  spaces  ", "'"]


@pytest.fixture
def filled(add, dataset):
    """Samples with all that is awkward in a file."""
    for number, reference in enumerate(AWKWARD):
        audio = encode(["wav", "flac", "mp3"][number % 3], 0.5, freq=300 + number)
        tags = {"speaker": f"Ann {number}", "odd, name": 'x"y', "snr": 12} if number % 2 else {}
        add(
            audio,
            f"{number}.bin",
            key=f"key {number} ünï/..",
            reference=reference,
            language="pt-BR" * (number % 2),
            tags=tags,
        )
    add(make_wav(0.5), "one", reference="what is said in ten hours\n" * 20_000)
    add(make_wav(0.5), "two", reference="twice")
    return dataset


def content(dataset):
    rows = dataset.samples.order_by("id")
    fields = ("key", "audio__sha256", "text", "reference", "language", "tags", "is_duplicate")
    return list(rows.values_list(*fields))


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "zip"])
def test_what_is_exported_comes_back_exactly(filled, workspace, import_into, file_format):
    exported = b"".join(export_dataset(filled, file_format))
    copy = create_dataset(workspace=workspace, name="Copy")
    ended = import_into(copy, exported)
    assert ended.status == "completed", list(ended.lines.values_list("number", "problem"))
    assert content(copy) == content(filled)


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "zip"])
def test_texts_come_back_exactly(texts, workspace, import_into, file_format):
    for number, text in enumerate(AWKWARD):
        if text and text.strip():
            add_text_sample(dataset=texts, text=text, reference=AWKWARD[number - 1], tags={"voice": str(number)})
    copy = create_dataset(workspace=workspace, name="Copy", task="tts")
    ended = import_into(copy, b"".join(export_dataset(texts, file_format)))
    assert ended.status == "completed", list(ended.lines.values_list("number", "problem"))
    assert content(copy) == content(texts)


def test_a_zip_carries_its_audio_to_another_workspace(filled, other_workspace, import_into, media):
    exported = b"".join(export_dataset(filled, "zip"))
    copy = create_dataset(workspace=other_workspace, name="Copy")
    import_into(copy, exported)
    assert content(copy) == content(filled)
    assert Audio.objects.for_workspace(other_workspace).count() == len(AWKWARD) + 1


def test_a_manifest_alone_does_not_reach_the_audio_of_another_workspace(filled, other_workspace, import_into):
    exported = b"".join(export_dataset(filled, "csv"))
    copy = create_dataset(workspace=other_workspace, name="Copy")
    ended = import_into(copy, exported)
    assert ended.status == "failed"
    assert "not in this workspace" in ended.lines.first().problem
    assert not Sample.objects.filter(dataset=copy).exists()


def test_a_zip_holds_each_audio_once_uncompressed_and_unchanged(filled):
    with zipfile.ZipFile(io.BytesIO(b"".join(export_dataset(filled, "zip")))) as archive:
        assert archive.testzip() is None
        rows = [json.loads(line) for line in archive.read("manifest.jsonl").decode().split("\n") if line]
        names = archive.namelist()
        assert len(names) == len(set(names)) == len(AWKWARD) + 2
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read(rows[-1]["file"]) == make_wav(0.5)
        assert rows[-1]["file"] == rows[-2]["file"]
    assert not any("key" in name or ".." in name for name in names)


def test_a_csv_says_silence_and_not_known_apart(filled):
    rows = list(csv.DictReader(io.StringIO(b"".join(export_dataset(filled, "csv")).decode(), newline="")))
    assert [(row["reference"], row["no_speech"]) for row in rows[1:3]] == [("", ""), ("", "true")]


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "zip"])
def test_an_empty_dataset_can_be_exported(dataset, file_format):
    assert isinstance(b"".join(export_dataset(dataset, file_format)), bytes)


def test_a_zip_is_streamed_and_not_collected(add, dataset):
    for number in range(6):
        add(make_wav(60, freq=300 + number), str(number))  # 1.9 MB each
    tracemalloc.start()
    size = sum(len(chunk) for chunk in export_dataset(dataset, "zip"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 11_000_000
    assert peak < 6_000_000
