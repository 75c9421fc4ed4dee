import pytest

from accounts.models import Role
from datasets.models import Dataset
from datasets.services import add_audio_sample, create_dataset
from tests.datasets.uploads import wav_file

DATASETS = "/api/v1/datasets/"


@pytest.fixture
def dataset(workspace):
    return create_dataset(workspace=workspace, name="Calls", description="of the help line")


def add(dataset, key, **fields):
    return add_audio_sample(dataset=dataset, file=wav_file(), filename="a.wav", key=key, **fields)


def test_a_dataset_is_made(api, workspace):
    response = api.post(DATASETS, {"name": "Anrufe", "task": "stt", "language": "de", "description": "Hotline"})
    assert response.status_code == 201
    made = Dataset.objects.get(pk=response.json()["id"])
    assert (made.workspace, made.name, made.language) == (workspace, "Anrufe", "de")
    assert response["Location"] == f"{DATASETS}{made.pk}/"


def test_a_name_that_is_taken_is_refused_as_a_conflict(api, dataset):
    response = api.post(DATASETS, {"name": "Calls"})
    assert response.status_code == 409
    assert response.json()["type"] == "urn:earshot:name_taken"
    assert response.json()["errors"][0]["field"] == "name"


def test_a_misspelt_field_is_refused(api, db):
    response = api.post(DATASETS, {"name": "Calls", "langauge": "de"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "langauge"


def test_a_dataset_shows_its_totals(api, dataset):
    add(dataset, "one", reference="hello")
    add(dataset, "two")
    body = api.get(f"{DATASETS}{dataset.pk}/").json()
    assert (body["sample_count"], body["reference_count"], body["reference_share"]) == (2, 1, 0.5)
    assert body["audio_seconds"] == pytest.approx(2, abs=0.01)
    assert body["audio_hours"] == pytest.approx(2 / 3600, abs=1e-5)


def test_the_share_with_a_reference_of_an_empty_dataset_is_unknown(api, dataset):
    body = api.get(f"{DATASETS}{dataset.pk}/").json()
    assert (body["sample_count"], body["audio_hours"], body["reference_share"]) == (0, 0, None)


def test_the_list_takes_the_same_number_of_queries_for_one_dataset_and_for_twenty(
    api, workspace, dataset, django_assert_num_queries
):
    add(dataset, "one")
    api.get(DATASETS)  # notes when the key was used
    with django_assert_num_queries(3):  # the key, the page, its totals
        api.get(DATASETS)
    for number in range(19):
        create_dataset(workspace=workspace, name=f"Set {number}")
    with django_assert_num_queries(3):
        assert len(api.get(DATASETS).json()["results"]) == 20


def test_the_list_is_filtered_by_task_language_and_search(api, workspace, dataset):
    create_dataset(workspace=workspace, name="Prompts", task="tts", language="pt-BR")

    def names(query):
        return [row["name"] for row in api.get(DATASETS + query).json()["results"]]

    assert names("?task=tts") == ["Prompts"]
    assert names("?language=pt-BR") == ["Prompts"]
    assert names("?search=HELP") == ["Calls"]
    assert names("?search=nothing") == []


def test_the_list_is_paged_by_cursor(api, workspace):
    for number in range(3):
        create_dataset(workspace=workspace, name=f"Set {number}")
    first = api.get(DATASETS + "?page_size=2").json()
    second = api.get(first["next"]).json()
    assert [row["name"] for row in first["results"] + second["results"]] == ["Set 2", "Set 1", "Set 0"]
    assert second["next"] is None


def test_a_dataset_is_renamed(api, dataset):
    response = api.patch(f"{DATASETS}{dataset.pk}/", {"name": "Old calls", "language": "fr"})
    assert response.status_code == 200
    dataset.refresh_from_db()
    assert (dataset.name, dataset.language, dataset.description) == ("Old calls", "fr", "of the help line")


def test_a_dataset_keeps_its_task(api, dataset):
    response = api.patch(f"{DATASETS}{dataset.pk}/", {"task": "tts"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "task"


def test_renaming_to_a_name_that_is_taken_is_a_conflict(api, workspace, dataset):
    create_dataset(workspace=workspace, name="Other")
    assert api.patch(f"{DATASETS}{dataset.pk}/", {"name": "Other"}).status_code == 409


def test_a_dataset_is_deleted_with_its_samples(api, dataset):
    add(dataset, "one")
    assert api.delete(f"{DATASETS}{dataset.pk}/").status_code == 204
    assert not Dataset.objects.exists()


def test_another_workspaces_dataset_answers_as_one_that_does_not_exist(other_api, dataset):
    for path in ["", "samples/", "imports/", "export/"]:
        theirs = other_api.get(f"{DATASETS}{dataset.pk}/{path}")
        nobodys = other_api.get(f"{DATASETS}999999/{path}")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content), path
    assert other_api.patch(f"{DATASETS}{dataset.pk}/", {"name": "mine"}).status_code == 404
    assert other_api.delete(f"{DATASETS}{dataset.pk}/").status_code == 404
    assert other_api.post(f"{DATASETS}{dataset.pk}/samples/", {}, format="multipart").status_code == 404
    assert other_api.post(f"{DATASETS}{dataset.pk}/imports/", {}, format="multipart").status_code == 404
    assert other_api.get(DATASETS).json()["results"] == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_viewers_and_reviewers_read_but_do_not_write(api_as, role, dataset):
    client = api_as(role)
    one = f"{DATASETS}{dataset.pk}/"
    assert client.get(DATASETS).status_code == 200
    assert client.get(one).status_code == 200
    assert client.get(one + "export/").status_code == 200
    assert client.post(DATASETS, {"name": "new"}).status_code == 403
    assert client.patch(one, {"name": "new"}).status_code == 403
    assert client.delete(one).status_code == 403
    assert client.post(one + "samples/", {"audio": wav_file()}, format="multipart").status_code == 403
    assert client.post(one + "imports/", {"archive": wav_file()}, format="multipart").status_code == 403


def test_without_a_key_nothing_is_told(client, dataset):
    assert client.get(f"{DATASETS}{dataset.pk}/").status_code == 401
