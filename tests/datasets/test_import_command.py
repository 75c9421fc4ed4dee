"""`manage.py import_dataset`"""

import io

import pytest
from django.core.management import CommandError, call_command

from datasets.models import Dataset, Import, Sample
from datasets.services import add_audio_sample
from tests.audio import make_wav

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "import"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(make_wav(freq=300 + ord(name[0])))
    (folder / "manifest.csv").write_text("file,reference\na.wav,hello\nb.wav,bye\n")
    return folder


def run(*args, **options):
    out, err = io.StringIO(), io.StringIO()
    call_command("import_dataset", *args, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def test_it_makes_the_dataset_and_says_what_it_did(workspace, folder):
    out, err = run(str(folder / "manifest.csv"), name="Calls", language="en-GB")
    dataset = Dataset.objects.get()
    assert (dataset.name, dataset.workspace, dataset.language) == ("Calls", workspace, "en-GB")
    assert dataset.samples.count() == 2
    assert out == "Imported 2 samples into Calls.\n"
    assert "2 of 2 read" in err


def test_it_imports_into_a_dataset_that_is_there(dataset, folder):
    run(str(folder), name="Calls")
    assert dataset.samples.count() == 2


def test_it_takes_the_workspace_that_is_named(workspace, other_workspace, folder):
    run(str(folder), name="Calls", workspace="rival")
    assert Dataset.objects.get().workspace == other_workspace


def test_it_tells_problems_by_line_and_fails(workspace, folder):
    (folder / "manifest.csv").write_text("file,reference\na.wav,hello\nmissing.wav,x\n")
    err = io.StringIO()
    with pytest.raises(CommandError, match="1 of 2 lines have problems"):
        call_command("import_dataset", str(folder), name="Calls", stderr=err)
    assert "line 3: missing.wav: There is no file 'missing.wav'" in err.getvalue()
    assert not Sample.objects.exists()


def test_a_dataset_that_was_made_for_a_refused_import_is_gone(workspace, folder):
    (folder / "manifest.csv").write_text("file,reference\na.wav,hello\nmissing.wav,x\n")
    with pytest.raises(CommandError):
        run(str(folder), name="Calls")
    assert not Dataset.objects.exists()
    assert not Import.objects.exists()


def test_an_empty_folder_leaves_no_dataset(workspace, tmp_path):
    with pytest.raises(CommandError, match="There is nothing to import"):
        run(str(tmp_path), name="Calls")
    assert not Dataset.objects.exists()


def test_a_dataset_that_was_there_before_a_refused_import_stays(dataset, folder):
    (folder / "manifest.csv").write_text("file,reference\nmissing.wav,x\n")
    with pytest.raises(CommandError):
        run(str(folder), name="Calls")
    assert Dataset.objects.get() == dataset
    assert Import.objects.get().status == "failed"


def test_a_dataset_to_which_somebody_adds_a_sample_meanwhile_stays(workspace, folder, monkeypatch):
    def add_sample(*args):
        add_audio_sample(dataset=Dataset.objects.get(), file=io.BytesIO(make_wav()), filename="theirs.wav")

    monkeypatch.setattr("datasets.management.commands.import_dataset.Command._report", add_sample)
    (folder / "manifest.csv").write_text("file,reference\nmissing.wav,x\n")
    with pytest.raises(CommandError):
        run(str(folder), name="Calls")
    assert Dataset.objects.get().samples.get().key == "theirs.wav"


def test_the_advice_names_the_option_where_it_helps(workspace, folder):
    (folder / "manifest.csv").write_text("file,reference\na.wav,hello\nmissing.wav,x\n")
    with pytest.raises(CommandError, match=r"skip bad lines\. With --skip-bad the others are imported"):
        run(str(folder), name="Calls")
    (folder / "manifest.csv").write_text("file,reference\nmissing.wav,x\n")
    with pytest.raises(CommandError) as refused:
        run(str(folder), name="Calls")
    assert "--skip-bad" not in str(refused.value)


def test_it_skips_bad_lines_where_asked(workspace, folder):
    (folder / "manifest.csv").write_text("file,reference\na.wav,hello\nmissing.wav,x\n")
    out, err = run(str(folder), name="Calls", skip_bad=True)
    assert out == "Imported 1 samples into Calls.\n"
    assert "line 3" in err


def test_a_second_time_it_says_that_all_is_there(workspace, folder):
    run(str(folder), name="Calls")
    with pytest.raises(CommandError, match="2 of 2 lines"):
        run(str(folder), name="Calls")
    assert Sample.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"path": "nowhere"}, "no file or folder"),
        ({"workspace": "unknown"}, "no workspace 'unknown'"),
        ({"language": "not one"}, "language tag"),
    ],
)
def test_what_is_wrong_is_said(workspace, folder, arguments, reason):
    options = {"path": str(folder), "name": "Calls", **arguments}
    with pytest.raises(CommandError, match=reason):
        run(options.pop("path"), **options)
    assert not Sample.objects.exists()


def test_when_it_is_stopped_nothing_is_left_running(workspace, folder, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("datasets.management.commands.import_dataset.Command._report", stop)
    with pytest.raises(KeyboardInterrupt):
        run(str(folder), name="Calls")
    assert "was stopped" in Import.objects.get().error
    assert not Sample.objects.exists()


def test_it_imports_human_speech(workspace, human_speech):
    out, _ = run(str(human_speech / "manifest.csv"), name="human")
    assert out == "Imported 20 samples into human.\n"
