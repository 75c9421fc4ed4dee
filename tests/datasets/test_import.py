"""Manifests: what each line becomes, and which problems are told by line."""

import io

import pytest
from django_q.models import OrmQ

from datasets.errors import InvalidImport
from datasets.importing.runner import run_local_import
from datasets.models import Import, ImportLine, Sample
from datasets.services import start_import
from tests.audio import encode, make_wav
from tests.datasets.conftest import problems

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path):
    """A folder with three audio files."""
    folder = tmp_path / "import"
    folder.mkdir()
    for number, name in enumerate(["a.wav", "b.wav", "c.wav"]):
        (folder / name).write_bytes(make_wav(freq=300 + 100 * number))
    return folder


@pytest.fixture
def import_from(dataset):
    """import_from(path, ...) -> the ended Import, as the command does it."""

    def work(path, into=dataset, **fields):
        parent = Import.objects.create(dataset=into, source_name=path.name, **fields)
        run_local_import(parent, path, lambda *progress: None)
        parent.refresh_from_db()
        return parent

    return work


@pytest.fixture
def manifest(folder, import_from):
    """manifest(text, ...) -> the ended Import of a manifest that lies in `folder`."""

    def work(content, name="list.csv", **fields):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return import_from(path, **fields)

    return work


def test_every_column_finds_its_place(manifest):
    manifest("file,reference,key,language,speaker,room no\na.wav,hello there,one,en-GB,Ann,12\n")
    sample = Sample.objects.get()
    assert (sample.key, sample.reference, sample.language) == ("one", "hello there", "en-GB")
    assert sample.tags == {"speaker": "Ann", "room no": "12"}
    assert sample.audio.duration == 1.0


def test_an_empty_reference_is_unknown_and_no_speech_is_known_silence(manifest):
    manifest("file,reference,no_speech\na.wav,,\nb.wav,,true\nc.wav,words,false\n")
    assert references() == {"a.wav": None, "b.wav": "", "c.wav": "words"}


def test_in_jsonl_null_is_unknown_and_an_empty_text_is_known_silence(manifest):
    lines = '{"file":"a.wav","reference":null}\n{"file":"b.wav","reference":""}\n{"file":"c.wav"}\n'
    manifest(lines, "list.jsonl")
    assert references() == {"a.wav": None, "b.wav": "", "c.wav": None}


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbffile,reference\na.wav,caf\xc3\xa9\n",
        "file;reference\na.wav;café\n",
        "file\treference\r\na.wav\tcafé\r\n",
        "File , REFERENCE\n\na.wav,café\n\n",
        'reference,file\n"café",a.wav',
    ],
)
def test_csv_as_various_programs_write_it(manifest, content):
    assert manifest(content).status == "completed"
    assert references() == {"a.wav": "café"}


def test_problems_are_told_by_line_and_nothing_is_imported(manifest):
    ended = manifest(
        "file,reference,language,no_speech\n"
        "a.wav,fine,,\n"
        "missing.wav,x,,\n"
        "b.wav,x\n"
        "b.wav,x,,,,\n"
        "b.wav,x,not a language,\n"
        "b.wav,words,,true\n"
        "b.wav,words,,perhaps\n"
        ",no file,,\n"
    )
    assert ended.status == "failed"
    assert "7 of 8 lines have problems" in ended.error
    assert (ended.total, ended.done, ended.bad) == (8, 8, 7)
    found = problems(ended)
    assert list(found) == [3, 4, 5, 6, 7, 8, 9]
    assert "no file 'missing.wav'" in found[3]
    assert "2 cells, the header 4" in found[4]
    assert "6 cells, the header 4" in found[5]
    assert "not a language tag" in found[6]
    assert "no_speech is true, but" in found[7]
    assert "true or false" in found[8]
    assert "no audio file" in found[9]
    assert not Sample.objects.exists()


def test_bad_lines_are_left_out_where_that_is_asked(manifest):
    ended = manifest("file,reference\na.wav,x\nmissing.wav,x\nb.wav,y\n", skip_bad=True)
    assert ended.status == "completed"
    assert references() == {"a.wav": "x", "b.wav": "y"}
    assert list(problems(ended)) == [3]


def test_an_import_of_only_bad_lines_fails_even_where_these_are_skipped(manifest):
    assert manifest("file\nmissing.wav\n", skip_bad=True).status == "failed"


def test_a_row_over_several_lines_is_named_by_its_first(manifest):
    ended = manifest('file,reference\na.wav,"two\nlines"\nmissing.wav,x\nb.wav,"y\r\nz"\n', skip_bad=True)
    assert list(problems(ended)) == [4]
    assert references() == {"a.wav": "two\nlines", "b.wav": "y\r\nz"}


def test_a_quote_that_does_not_end_is_a_problem_of_its_line(manifest):
    ended = manifest('file,reference\na.wav,x\nb.wav,"open\nc.wav,y\n')
    assert "Check its quotes" in problems(ended)[3]


def test_keys_are_unique_within_an_import_and_the_dataset(manifest, add):
    add(make_wav(), key="old")
    ended = manifest("file,key\na.wav,new\nb.wav,new\nc.wav,old\na.wav,NEW\n")
    found = problems(ended)
    assert list(found) == [3, 4]
    assert "'new' is already in line 2" in found[3]
    assert "'old' is already in the dataset" in found[4]


def test_a_second_import_of_the_same_says_that_all_is_there(manifest):
    assert manifest("file\na.wav\nb.wav\n").status == "completed"
    again = manifest("file\na.wav\nb.wav\n")
    assert again.status == "failed"
    assert all("already in the dataset" in problem for problem in problems(again).values())
    assert Sample.objects.count() == 2


def test_the_same_audio_twice_is_two_samples_of_one_audio(manifest):
    manifest("file,key\na.wav,1\nb.wav,2\na.wav,3\n")
    assert list(Sample.objects.values_list("key", "is_duplicate")) == [("1", False), ("2", False), ("3", True)]


@pytest.mark.parametrize(
    "name", ["../outside.wav", "/etc/passwd", "sub/../../outside.wav", "link.wav", "linked/outside.wav"]
)
def test_no_path_leads_out_of_the_folder(manifest, folder, name):
    (folder.parent / "outside.wav").write_bytes(make_wav())
    (folder / "link.wav").symlink_to(folder.parent / "outside.wav")
    (folder / "linked").symlink_to(folder.parent)
    ended = manifest(f"file\n{name}\n")
    assert "outside the folder" in problems(ended)[2]
    assert not Sample.objects.exists()


def test_names_of_any_script_and_length_are_found_and_safe(manifest, folder):
    long = "n" * 240 + ".wav"
    for name in ("日本 語.wav", "cafe\u0301.wav", long):
        (folder / name).write_bytes(make_wav())
    ended = manifest(f"file,key\n日本 語.wav,{'k' * 400}\ncaf\u00e9.wav,\n{long},..\n")
    assert ended.status == "completed"
    assert set(references()) == {"k" * 300, "caf\u00e9.wav", ".."}


def test_audio_that_is_refused_is_a_problem_with_its_reason(manifest, folder):
    (folder / "bad.mp3").write_bytes(encode("mp3", 3)[:3000])
    (folder / "text.wav").write_text("hello")
    found = problems(manifest("file\na.wav\nbad.mp3\ntext.wav\n"))
    assert "cut off" in found[3]
    assert "not audio" in found[4]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name,reference\na,b\n", "must name the columns, with 'file'"),
        (b"file,reference,file\na,b,c\n", "'file' is there twice"),
        ("file,reference\na.wav,café\n".encode("latin-1"), "not UTF-8"),
        ("file,reference\na.wav,x\n".encode("utf-16"), "not UTF-8"),
        (b"\n\n", "empty"),
        (b"file,reference\n", "nothing to import"),
        (b"file,reference\na.wav," + b"x" * 2_100_000 + b"\n", "longer than"),
    ],
)
def test_a_manifest_that_cannot_be_read_fails_as_a_whole(manifest, content, reason):
    ended = manifest(content)
    assert ended.status == "failed"
    assert reason in ended.error
    assert not ImportLine.objects.exists()


def test_a_manifest_of_endless_empty_lines_is_refused(manifest, settings):
    settings.MAX_IMPORT_FILES = 10
    assert "too large" in manifest("file\n" + "\n" * 200).error


def test_more_lines_than_allowed_are_refused(manifest, settings):
    settings.MAX_IMPORT_FILES = 2
    assert "more than 2 lines" in manifest("file\na.wav\nb.wav\nc.wav\n").error


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"file": "a.wav"', "not JSON"),
        ("[1, 2]", "must be an object"),
        ('{"file": 7}', "file must be a text"),
        ('{"file": "a.wav", "reference": 7}', "reference must be a text"),
        ('{"file": "a.wav", "tags": {"a": 1}}', "list or an object"),
        ('{"file": "a.wav", "reference": "\\ud800"}', "not valid Unicode"),
        ('{"file": "a.wav", "reference": "\\u0000"}', "NUL"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_lines_of_jsonl_that_are_wrong_are_told(manifest, line, problem):
    found = problems(manifest(f'{{"file": "b.wav"}}\n{line}\n', "list.jsonl"))
    assert problem in found[2]


def test_a_folder_without_a_manifest_is_imported_by_file_names(import_from, folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "a.wav").write_bytes(make_wav(freq=700))
    (folder / ".DS_Store").write_text("junk")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._a.wav").write_text("junk")
    assert import_from(folder).status == "completed"
    assert list(references()) == ["a.wav", "b.wav", "c.wav", "sub/a.wav"]


def test_a_folder_with_a_manifest_is_imported_by_it(import_from, folder):
    (folder / "manifest.csv").write_text("file,reference\nb.wav,hello\n")
    import_from(folder)
    assert references() == {"b.wav": "hello"}


def test_texts_to_be_spoken_need_no_files(import_into, texts):
    ended = import_into(texts, b"text,key,voice\nHello there,,Ann\nGood bye,2,Ben\n", "texts.csv")
    assert ended.status == "completed"
    assert list(texts.samples.values_list("key", "text")) == [("Hello there", "Hello there"), ("2", "Good bye")]


def test_texts_and_audio_are_not_mixed_up(import_into, texts, dataset):
    assert "without audio" in problems(import_into(texts, b"file,text\na.wav,hi\n"))[2]
    assert "no text" in problems(import_into(texts, b"text,key\n,1\n"))[2]
    assert "Call what is said in the audio reference" in problems(import_into(dataset, b"file,text\n,hi\n"))[2]


def test_a_manifest_alone_says_that_audio_needs_a_zip(import_into, dataset):
    ended = import_into(dataset, b"file,reference\na.wav,hello\n")
    assert "Put both into one zip" in problems(ended)[2]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02" * 100, make_wav()])
def test_what_is_plainly_no_import_is_refused_at_once(dataset, content):
    with pytest.raises(InvalidImport):
        start_import(dataset=dataset, file=io.BytesIO(content), filename="x")
    assert not Import.objects.exists()
    assert not OrmQ.objects.exists()


def test_the_uploaded_file_is_gone_after_the_import(import_into, dataset, media):
    for content in (b"text\nhello\n", b"file\na.wav\n"):
        ended = import_into(dataset, content)
        assert not ended.source
    assert not [path for path in media.rglob("*") if path.is_file()]


def test_human_speech_is_imported(import_from, human_speech):
    ended = import_from(human_speech / "manifest.csv")
    assert ended.status == "completed", problems(ended)
    assert Sample.objects.count() == 20
    sample = Sample.objects.get(key="en_jfk.flac")
    assert set(sample.tags) == {"duration_s", "sample_rate", "source", "license"}
    for sample in Sample.objects.select_related("audio"):
        assert sample.audio.duration == pytest.approx(float(sample.tags["duration_s"]), abs=0.2)


def references():
    return dict(Sample.objects.order_by("id").values_list("key", "reference"))
