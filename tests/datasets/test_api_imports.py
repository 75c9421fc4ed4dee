import csv
import io
import json
import zipfile

import pytest

from datasets.models import Import, Sample
from datasets.services import add_audio_sample, create_dataset
from datasets.tasks import run_import
from tests.audio import make_wav
from tests.datasets.uploads import named, wav_file


@pytest.fixture
def dataset(workspace):
    return create_dataset(workspace=workspace, name="Calls")


def archive(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return named("speech.zip", content.getvalue())


@pytest.fixture
def good_archive():
    manifest = "file,reference,speaker\na.wav,hello,anna\nb.wav,,ben\n"
    return archive(**{"manifest.csv": manifest, "a.wav": make_wav(), "b.wav": make_wav(freq=600)})


@pytest.fixture
def bad_archive():
    manifest = "file,reference\na.wav,hello\nmissing.wav,there\nb.wav,you\n"
    return archive(**{"manifest.csv": manifest, "a.wav": make_wav(), "b.wav": b"no audio"})


@pytest.fixture
def begin(api, dataset):
    """begin(archive=...) -> the answer to a new import"""
    return lambda **fields: api.post(f"/api/v1/datasets/{dataset.pk}/imports/", fields, format="multipart")


def test_an_archive_is_taken_at_once_and_imported_in_the_queue(api, begin, good_archive):
    response = begin(archive=good_archive)
    assert response.status_code == 202
    body = response.json()
    assert (body["status"], body["source_name"], body["skip_bad"]) == ("pending", "speech.zip", False)
    assert response["Location"] == f"/api/v1/imports/{body['id']}/"
    run_import(body["id"])
    body = api.get(response["Location"]).json()
    assert (body["status"], body["total"], body["bad"], body["problems"]) == ("completed", 2, 0, [])
    assert Sample.objects.get(reference="hello").tags == {"speaker": "anna"}


def test_a_bad_line_is_reported_by_number_and_refuses_everything(api, begin, bad_archive):
    location = begin(archive=bad_archive)["Location"]
    run_import(Import.objects.get().pk)
    body = api.get(location).json()
    assert (body["status"], body["bad"]) == ("failed", 2)
    assert [(row["name"], bool(row["message"])) for row in body["problems"]] == [("missing.wav", True), ("b.wav", True)]
    assert body["problems"][0]["line"] < body["problems"][1]["line"]
    assert not Sample.objects.exists()
    listed = api.get(f"{location}problems/?page_size=1").json()
    assert listed["results"] == body["problems"][:1]
    assert api.get(listed["next"]).json()["results"] == body["problems"][1:]


def test_bad_lines_are_left_out_where_that_is_asked_for(api, begin, bad_archive):
    begin(archive=bad_archive, skip_bad=True)
    run_import(Import.objects.get().pk)
    assert [sample.reference for sample in Sample.objects.all()] == ["hello"]


def test_exactly_one_file_is_wanted(begin, good_archive):
    assert begin().status_code == 400
    assert begin(archive=good_archive, manifest=named("m.csv", b"file\n")).status_code == 400
    assert begin(archiv=good_archive).status_code == 400
    assert not Import.objects.exists()


def test_the_imports_of_a_dataset_are_listed_newest_first(api, begin, dataset, good_archive):
    ids = [begin(archive=good_archive).json()["id"]]
    good_archive.seek(0)
    ids.append(begin(archive=good_archive).json()["id"])
    rows = api.get(f"/api/v1/datasets/{dataset.pk}/imports/").json()["results"]
    assert [row["id"] for row in rows] == ids[::-1]


def test_another_workspaces_import_answers_as_one_that_does_not_exist(other_api, begin, good_archive):
    mine = begin(archive=good_archive).json()["id"]
    for path in ["", "problems/"]:
        theirs = other_api.get(f"/api/v1/imports/{mine}/{path}")
        assert (theirs.status_code, theirs.content) == (404, other_api.get(f"/api/v1/imports/999999/{path}").content)


@pytest.fixture
def two_samples(dataset):
    add_audio_sample(dataset=dataset, file=wav_file(), filename="a.wav", reference="hello", tags={"speaker": "anna"})
    add_audio_sample(dataset=dataset, file=wav_file(freq=600), filename="b.wav")


def exported(api, dataset, file_format):
    response = api.get(f"/api/v1/datasets/{dataset.pk}/export/?file_format={file_format}")
    assert response.status_code == 200
    assert response.streaming
    assert response["Content-Disposition"] == f'attachment; filename="Calls.{file_format}"'
    return response.getvalue()


def test_a_dataset_is_exported_as_csv_and_as_json_lines(api, dataset, two_samples):
    rows = list(csv.DictReader(io.StringIO(exported(api, dataset, "csv").decode("utf-8-sig"))))
    lines = [json.loads(line) for line in exported(api, dataset, "jsonl").splitlines()]
    assert [row["reference"] for row in rows] == ["hello", ""]
    assert [line["reference"] for line in lines] == ["hello", None]


def test_what_is_exported_as_zip_is_imported_again(api, workspace, dataset, two_samples):
    copy = create_dataset(workspace=workspace, name="Copy")
    body = {"archive": named("copy.zip", exported(api, dataset, "zip"))}
    begun = api.post(f"/api/v1/datasets/{copy.pk}/imports/", body, format="multipart").json()
    run_import(begun["id"])
    facts = ("key", "reference", "tags", "audio_id")
    assert list(copy.samples.values(*facts)) == list(dataset.samples.values(*facts))


def test_an_unknown_format_is_refused(api, dataset):
    response = api.get(f"/api/v1/datasets/{dataset.pk}/export/?file_format=xml")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "file_format")


def test_the_schema_of_these_endpoints_is_complete(api):
    schema = api.get("/api/schema/?format=json").json()["paths"]
    assert set(schema["/api/v1/datasets/{dataset_id}/samples/"]["post"]["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
    }
    assert "202" in schema["/api/v1/datasets/{dataset_id}/imports/"]["post"]["responses"]
    assert "206" in schema["/api/v1/samples/{id}/audio/"]["get"]["responses"]
