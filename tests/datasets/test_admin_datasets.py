import io
import zipfile

import pytest
from django.urls import reverse

from accounts.models import Role
from datasets.models import Dataset, Import, ImportLine, Sample
from datasets.services import add_audio_sample, create_dataset, edit_reference
from datasets.tasks import run_import
from evaluations.models import Run
from tests.audio import make_wav
from tests.datasets.uploads import named, wav_file

DATASETS = reverse("admin:datasets_dataset_changelist")
SAMPLES = reverse("admin:datasets_sample_changelist")


@pytest.fixture
def dataset(workspace):
    return create_dataset(workspace=workspace, name="Calls")


@pytest.fixture
def sample(dataset):
    return add_audio_sample(dataset=dataset, file=wav_file(), filename="hello.wav", reference="hello there")


@pytest.fixture
def signed_in(client, make_member):
    """signed_in(role) -> a browser session of a member with that role"""

    def sign_in(role=Role.EVALUATOR):
        client.force_login(make_member(role))
        return client

    return sign_in


def page_of(thing, name="change"):
    return reverse(f"admin:datasets_{thing._meta.model_name}_{name}", args=[thing.pk])


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def archive(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return named("speech.zip", content.getvalue())


# --- Datasets ---------------------------------------------------------------------------------------


def test_a_dataset_is_made_in_the_workspace_of_the_one_who_asks(signed_in, workspace):
    fields = {"name": "New", "task": "stt", "language": "en", "description": ""}
    signed_in().post(reverse("admin:datasets_dataset_add"), fields)
    made = Dataset.objects.get()
    assert (made.name, made.workspace, made.created_by.username) == ("New", workspace, "evaluator-speech")


def test_a_name_that_is_taken_is_refused_in_the_form(signed_in, dataset, other_workspace):
    create_dataset(workspace=other_workspace, name="Theirs")
    client = signed_in()
    add = reverse("admin:datasets_dataset_add")
    fields = {"task": "stt", "language": "en", "description": ""}
    assert "There is a dataset called" in text_of(client.post(add, {"name": "Calls", **fields}))
    assert client.post(add, {"name": "Theirs", **fields}).status_code == 302  # another workspace's name is free


def test_a_language_that_is_none_is_refused_in_the_form(signed_in, db):
    fields = {"name": "New", "task": "stt", "language": "speak english", "description": ""}
    page = text_of(signed_in().post(reverse("admin:datasets_dataset_add"), fields))
    assert "is not a language tag" in page


def test_a_dataset_is_renamed_and_keeps_its_task(signed_in, dataset):
    fields = {"name": "Old calls", "task": "tts", "language": "de", "description": "x"}
    signed_in().post(page_of(dataset), fields)
    dataset.refresh_from_db()
    assert (dataset.name, dataset.language, dataset.task) == ("Old calls", "de", "stt")


def test_the_list_shows_totals(signed_in, dataset, sample):
    page = text_of(signed_in().get(DATASETS))
    assert "Calls" in page
    assert "100%" in page
    assert "0:01.0" in page


def test_the_list_takes_the_same_number_of_queries_for_one_dataset_and_for_twenty(
    signed_in, workspace, dataset, sample, django_assert_max_num_queries
):
    client = signed_in()
    with django_assert_max_num_queries(12) as first:
        client.get(DATASETS)
    for number in range(19):
        create_dataset(workspace=workspace, name=f"Set {number}")
    with django_assert_max_num_queries(len(first)):
        client.get(DATASETS)


def test_a_dataset_offers_all_that_can_be_done_with_it(signed_in, dataset):
    page = text_of(signed_in().get(page_of(dataset)))
    for label in ["Upload audio", "Import", "CSV", "JSON lines", "ZIP", "Samples", "Start run"]:
        assert label in page, label


def test_a_viewer_is_offered_nothing_that_changes_a_dataset(signed_in, dataset):
    client = signed_in(Role.VIEWER)
    page = text_of(client.get(page_of(dataset)))
    for label in ["Upload audio", "Start run", "Delete dataset"]:
        assert label not in page, label
    for name in ["upload", "import_file", "start_run", "delete"]:
        assert client.get(page_of(dataset, name)).status_code == 403, name


def test_start_run_opens_the_form_for_this_dataset(signed_in, dataset):
    response = signed_in().get(page_of(dataset, "start_run"))
    assert response["Location"] == reverse("admin:evaluations_run_start") + f"?dataset={dataset.pk}"


def test_samples_opens_the_list_of_this_dataset_only(signed_in, workspace, dataset, sample):
    other = create_dataset(workspace=workspace, name="Other")
    add_audio_sample(dataset=other, file=wav_file(), filename="elsewhere.wav")
    page = text_of(signed_in().get(page_of(dataset, "show_samples"), follow=True))
    assert "hello.wav" in page
    assert "elsewhere.wav" not in page


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "zip"])
def test_a_dataset_is_exported(signed_in, dataset, sample, file_format):
    response = signed_in(Role.VIEWER).get(page_of(dataset, f"export_{file_format}"))
    assert response["Content-Disposition"] == f'attachment; filename="Calls.{file_format}"'
    content = response.getvalue()
    assert b"hello there" in content if file_format != "zip" else zipfile.is_zipfile(io.BytesIO(content))


def test_a_dataset_of_texts_offers_no_upload_of_audio(signed_in, workspace):
    prompts = create_dataset(workspace=workspace, name="Prompts", task="tts")
    client = signed_in()
    assert "Upload audio" not in text_of(client.get(page_of(prompts)))
    assert client.get(page_of(prompts, "upload")).status_code == 403


def test_a_dataset_is_deleted_after_saying_how_many_samples_go_with_it(signed_in, dataset, sample):
    client = signed_in()
    assert "with 1 samples" in text_of(client.get(page_of(dataset, "delete")))
    client.post(page_of(dataset, "delete"), {"post": "yes"})
    assert not Dataset.objects.exists()


def test_a_dataset_that_runs_use_is_kept_and_the_reason_is_said(signed_in, workspace, dataset):
    Run.objects.create(workspace=workspace, dataset=dataset, name="r", normalizer="basic", normalizer_version=1)
    page = text_of(signed_in().post(page_of(dataset, "delete"), {"post": "yes"}, follow=True))
    assert "Delete the runs first" in page
    assert Dataset.objects.exists()


def test_another_workspaces_dataset_answers_as_one_that_does_not_exist(signed_in, other_workspace):
    theirs = create_dataset(workspace=other_workspace, name="Secret")
    client = signed_in()
    for name in ["change", "delete", "upload", "import_file", "export_csv", "show_samples", "start_run"]:
        answer = client.get(page_of(theirs, name))
        nobodys = client.get(page_of(Dataset(pk=999999), name))
        assert answer.status_code == nobodys.status_code in (302, 403, 404), name
        assert answer.get("Location") == nobodys.get("Location"), name
    assert "Secret" not in text_of(client.get(DATASETS))
    assert "Secret" not in text_of(client.get(f"{SAMPLES}?dataset__id__exact={theirs.pk}"))


# --- Imports ----------------------------------------------------------------------------------------


def begin(client, dataset, file, **fields):
    response = client.post(page_of(dataset, "import_file"), {"file": file, **fields})
    begun = Import.objects.get()
    assert response["Location"] == page_of(begun)
    return begun


def test_an_import_is_followed_until_it_ends(signed_in, dataset):
    client = signed_in()
    begun = begin(client, dataset, archive(**{"a.wav": make_wav()}))
    live = reverse("admin:datasets_import_progress", args=[begun.pk])
    assert f'hx-get="{live}"' in text_of(client.get(page_of(begun)))
    assert "Waiting for a worker" in text_of(client.get(live))
    run_import(begun.pk)
    ended = text_of(client.get(live))
    assert "Completed" in ended
    assert "hx-get" not in ended
    assert Sample.objects.count() == 1


def test_the_problems_of_an_import_are_shown_by_line(signed_in, dataset):
    client = signed_in()
    begun = begin(client, dataset, archive(**{"a.wav": make_wav(), "b.wav": b"no audio"}))
    run_import(begun.pk)
    page = text_of(client.get(page_of(begun)))
    problem = ImportLine.objects.exclude(problem="").get()
    assert "nothing was imported" in page
    assert f"<td>{problem.number}</td><td>b.wav</td>" in page


def test_bad_lines_are_skipped_where_that_is_ticked(signed_in, dataset):
    begun = begin(signed_in(), dataset, archive(**{"a.wav": make_wav(), "b.wav": b"no audio"}), skip_bad="on")
    run_import(begun.pk)
    assert Sample.objects.count() == 1


def test_a_file_that_is_no_archive_is_refused_in_the_form(signed_in, dataset):
    page = text_of(signed_in().post(page_of(dataset, "import_file"), {"file": named("a.zip", b"\x00\x01")}))
    assert 'role="alert"' in page
    assert not Import.objects.exists()


def test_nobody_edits_or_deletes_an_import(signed_in, dataset):
    client = signed_in(Role.OWNER)
    begun = begin(client, dataset, archive(**{"a.wav": make_wav()}))
    assert client.post(page_of(begun), {"source_name": "x"}).status_code == 403
    assert client.post(page_of(begun, "delete"), {"post": "yes"}).status_code == 403


def test_another_workspaces_import_is_not_there(signed_in, other_workspace):
    theirs = create_dataset(workspace=other_workspace, name="Secret")
    begun = Import.objects.create(dataset=theirs, source_name="secret.zip")
    client = signed_in()
    assert client.get(reverse("admin:datasets_import_progress", args=[begun.pk])).status_code == 404
    assert client.get(page_of(begun))["Location"] == client.get(page_of(Import(pk=999999)))["Location"]
    assert "secret.zip" not in text_of(client.get(reverse("admin:datasets_import_changelist")))


# --- Samples ----------------------------------------------------------------------------------------


def test_the_list_of_samples_opens_without_counting_them(signed_in, dataset, sample, django_assert_max_num_queries):
    client = signed_in()
    Sample.objects.bulk_create(Sample(dataset=dataset, key=str(n), audio=sample.audio) for n in range(120))
    with django_assert_max_num_queries(12) as queries:
        page = text_of(client.get(SAMPLES))
    of_samples = [query["sql"].upper() for query in queries if "datasets_sample" in query["sql"]]
    assert of_samples
    assert not [sql for sql in of_samples if "COUNT(" in sql]
    assert not [query for query in queries if "peaks" in query["sql"]]
    assert "Samples 1&ndash;50" in page
    assert "Samples 101&ndash;121" in text_of(client.get(f"{SAMPLES}?p=3"))


def test_the_list_of_samples_shows_facts_and_a_player(signed_in, sample):
    page = text_of(signed_in(Role.VIEWER).get(SAMPLES))
    for fact in ["hello.wav", "0:01.0", "16,000 Hz", "pcm_s16le", "hello there"]:
        assert fact in page, fact
    assert f'src="{reverse("sample-audio", args=[sample.pk])}"' in page


def test_the_list_of_samples_is_filtered_and_searched(signed_in, dataset, sample):
    Sample.objects.create(dataset=dataset, key="bye.wav", audio=sample.audio, language="de", is_duplicate=True)
    client = signed_in()

    def shown(query):
        page = text_of(client.get(SAMPLES + query))
        return [key for key in ("hello.wav", "bye.wav") if f">{key}</a>" in page]

    assert shown("") == ["hello.wav", "bye.wav"]
    assert shown("?q=BYE") == ["bye.wav"]
    assert shown("?has_reference=yes") == ["hello.wav"]
    assert shown("?has_reference=no") == ["bye.wav"]
    assert shown("?is_duplicate__exact=1") == ["bye.wav"]
    assert shown("?language=de") == ["bye.wav"]
    assert shown("?language=en") == ["hello.wav"]


def test_a_sample_shows_its_player_its_facts_and_its_earlier_references(signed_in, make_member, sample):
    edit_reference(sample=sample, reference="hello you", edited_by=make_member(Role.OWNER))
    page = text_of(signed_in().get(page_of(sample)))
    assert "data-peaks=" in page
    assert sample.audio.sha256 in page
    assert "hello you</textarea>" in page
    assert "hello there" in page
    assert "by owner-speech" in page


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.VIEWER])
def test_reviewers_and_viewers_see_the_reference_but_cannot_edit_it(signed_in, sample, role):
    client = signed_in(role)
    page = text_of(client.get(page_of(sample)))
    assert "hello there" in page
    assert "<textarea" not in page
    assert "Delete sample" not in page
    answer = client.patch(reverse("sample-detail", args=[sample.pk]), {"reference": "x"}, "application/json")
    assert answer.status_code == 403


def test_a_reference_that_looks_like_markup_is_shown_as_text(signed_in, sample):
    edit_reference(sample=sample, reference="</textarea><script>alert(1)</script>")
    assert "<script>alert(1)" not in text_of(signed_in().get(page_of(sample)))


def test_a_sample_is_deleted(signed_in, sample):
    signed_in().post(page_of(sample, "delete"), {"post": "yes"})
    assert not Sample.objects.exists()
