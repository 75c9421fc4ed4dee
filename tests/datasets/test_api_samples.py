import logging

import pytest

from accounts.models import Role
from datasets.models import Sample
from datasets.services import add_audio_sample, create_dataset, edit_reference
from tests.datasets.uploads import named, wav_file

SECRET_NAME = "patient-4711"


@pytest.fixture
def dataset(workspace):
    return create_dataset(workspace=workspace, name="Calls", language="en")


@pytest.fixture
def prompts(workspace):
    return create_dataset(workspace=workspace, name="Prompts", task="tts")


@pytest.fixture
def sample(dataset):
    return add_audio_sample(dataset=dataset, file=wav_file(), filename="hello.wav", reference="hello")


def samples_of(dataset):
    return f"/api/v1/datasets/{dataset.pk}/samples/"


def one(sample, path=""):
    return f"/api/v1/samples/{sample.pk}/{path}"


def test_audio_is_added_with_its_reference_and_tags(api, dataset):
    fields = {"audio": wav_file(), "key": "call 1", "reference": "hi", "language": "de", "tags": '{"noise": "low"}'}
    response = api.post(samples_of(dataset), fields, format="multipart")
    assert response.status_code == 201
    body = response.json()
    assert (body["key"], body["reference"], body["language"], body["tags"]) == ("call 1", "hi", "de", {"noise": "low"})
    assert body["audio"]["sample_rate"] == 16000
    assert body["audio"]["duration"] == pytest.approx(1)
    assert max(body["peaks"]) > 100
    assert response["Location"] == one(Sample.objects.get())


def test_without_a_reference_it_is_unknown_and_an_empty_one_stays_empty(api, dataset):
    unknown = api.post(samples_of(dataset), {"audio": wav_file("a.wav")}, format="multipart").json()
    empty = api.post(samples_of(dataset), {"audio": wav_file("b.wav"), "reference": ""}, format="multipart").json()
    assert (unknown["reference"], empty["reference"]) == (None, "")


def test_the_same_audio_again_is_added_and_flagged(api, dataset):
    flags = [
        api.post(samples_of(dataset), {"audio": wav_file(name)}, format="multipart").json()["is_duplicate"]
        for name in ("a.wav", "b.wav")
    ]
    assert flags == [False, True]


def test_what_is_not_audio_is_refused_with_its_reason(api, dataset):
    response = api.post(samples_of(dataset), {"audio": named("a.wav", b"no audio at all" * 99)}, format="multipart")
    assert response.status_code == 400
    assert response.json()["type"] == "urn:earshot:not_audio"
    assert response.json()["errors"][0]["field"] == "audio"
    assert not Sample.objects.exists()


def test_an_empty_file_is_refused_as_empty(api, dataset):
    response = api.post(samples_of(dataset), {"audio": named("a.wav", b"")}, format="multipart")
    assert (response.status_code, response.json()["type"]) == (400, "urn:earshot:empty")


def test_a_key_that_is_taken_is_a_conflict(api, dataset, sample):
    response = api.post(samples_of(dataset), {"audio": wav_file(), "key": sample.key}, format="multipart")
    assert response.status_code == 409
    assert response.json()["errors"][0]["field"] == "key"


@pytest.mark.parametrize("tags", ["[1]", "no json", '{"a": {"b": 1}}'])
def test_tags_that_are_no_plain_object_are_refused(api, dataset, tags):
    response = api.post(samples_of(dataset), {"audio": wav_file(), "tags": tags}, format="multipart")
    assert response.status_code == 400
    assert "tag" in response.json()["detail"]
    assert not Sample.objects.exists()


def test_a_text_is_added_to_a_dataset_of_text_to_speech(api, prompts):
    response = api.post(samples_of(prompts), {"text": "Good morning.", "key": "greeting"})
    assert response.status_code == 201
    body = response.json()
    assert (body["text"], body["audio"], body["audio_url"], body["peaks"]) == ("Good morning.", None, None, None)


def test_a_text_is_refused_where_audio_is_wanted(api, dataset):
    response = api.post(samples_of(dataset), {"text": "Good morning."})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "text"


def test_samples_are_listed_in_order_and_without_their_waveforms(api, dataset, sample):
    add_audio_sample(dataset=dataset, file=wav_file(), filename="second.wav")
    rows = api.get(samples_of(dataset)).json()["results"]
    assert [row["key"] for row in rows] == [sample.key, "second.wav" if "." in sample.key else "second"]
    assert rows[0]["audio"]["codec"] == "pcm_s16le"
    assert rows[0]["audio_url"].endswith(one(sample, "audio/"))
    assert "peaks" not in rows[0]


def test_the_list_takes_the_same_number_of_queries_for_one_sample_and_for_twenty(
    api, dataset, sample, django_assert_num_queries
):
    api.get(samples_of(dataset))  # notes when the key was used
    with django_assert_num_queries(3):  # the key, the dataset, the page
        api.get(samples_of(dataset))
    Sample.objects.bulk_create(Sample(dataset=dataset, key=str(n), audio=sample.audio) for n in range(19))
    with django_assert_num_queries(3):
        assert len(api.get(samples_of(dataset)).json()["results"]) == 20


def test_the_list_is_filtered(api, dataset, sample):
    other = {"dataset": dataset, "audio": sample.audio}
    Sample.objects.create(key="unknown", language="de", is_duplicate=True, **other)
    Sample.objects.create(key="silence", reference="", **other)

    def keys(query):
        return {row["key"] for row in api.get(samples_of(dataset) + query).json()["results"]}

    assert keys("?has_reference=true") == {sample.key, "silence"}
    assert keys("?has_reference=false") == {"unknown"}
    assert keys("?language=de") == {"unknown"}
    assert keys("?language=en") == {sample.key, "silence"}
    assert keys("?is_duplicate=true") == {"unknown"}
    assert keys("?search=SIL") == {"silence"}


def test_a_changed_reference_makes_a_revision(api, sample):
    response = api.patch(one(sample), {"reference": "hello there"})
    assert response.status_code == 200
    assert (response.json()["reference"], response.json()["reference_revision"]) == ("hello there", 2)
    revisions = api.get(one(sample, "revisions/")).json()["results"]
    assert [(row["number"], row["reference"]) for row in revisions] == [(1, "hello")]


def test_a_reference_can_be_made_unknown(api, sample):
    assert api.patch(one(sample), {"reference": None}).json()["reference"] is None


def test_language_and_tags_are_changed_without_a_revision(api, sample):
    body = api.patch(one(sample), {"language": "de", "tags": {"speaker": "anna"}}).json()
    assert (body["language"], body["tags"], body["reference_revision"]) == ("de", {"speaker": "anna"}, 1)


def test_a_field_that_cannot_be_changed_is_refused(api, sample):
    response = api.patch(one(sample), {"is_duplicate": True})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "is_duplicate")


def test_revisions_take_the_same_number_of_queries_for_one_and_for_ten(
    api, make_member, sample, django_assert_num_queries
):
    editor = make_member()
    edit_reference(sample=sample, reference="1", edited_by=editor)
    api.get(one(sample, "revisions/"))
    with django_assert_num_queries(3):
        api.get(one(sample, "revisions/"))
    for number in range(2, 11):
        sample.refresh_from_db()
        edit_reference(sample=sample, reference=str(number), edited_by=editor)
    with django_assert_num_queries(3):
        rows = api.get(one(sample, "revisions/")).json()["results"]
    assert [row["number"] for row in rows] == list(range(10, 0, -1))
    assert {row["replaced_by"] for row in rows} == {editor.username}


def test_a_sample_is_deleted(api, sample):
    assert api.delete(one(sample)).status_code == 204
    assert not Sample.objects.exists()


def test_another_workspaces_sample_answers_as_one_that_does_not_exist(other_api, sample):
    for path in ["", "revisions/", "audio/"]:
        theirs = other_api.get(one(sample, path))
        nobodys = other_api.get(f"/api/v1/samples/999999/{path}")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content), path
    assert other_api.patch(one(sample), {"reference": "mine"}).status_code == 404
    assert other_api.delete(one(sample)).status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_viewers_and_reviewers_read_samples_but_do_not_write_them(api_as, role, sample):
    client = api_as(role)
    assert client.get(one(sample)).status_code == 200
    assert client.get(one(sample, "audio/")).status_code == 200
    assert client.get(one(sample, "revisions/")).status_code == 200
    assert client.patch(one(sample), {"reference": "mine"}).status_code == 403
    assert client.delete(one(sample)).status_code == 403


def test_no_log_line_names_an_upload(api, dataset, caplog):
    caplog.set_level(logging.DEBUG)
    good = {"audio": wav_file(f"{SECRET_NAME}.wav"), "reference": SECRET_NAME}
    bad = {"audio": named(f"{SECRET_NAME}.mp3", b"nonsense" * 99)}
    made = api.post(samples_of(dataset), good, format="multipart").json()
    api.post(samples_of(dataset), bad, format="multipart")
    api.get(f"/api/v1/samples/{made['id']}/audio/")
    lines = [record.getMessage() for record in caplog.records if record.name != "django.db.backends"]  # its SQL
    assert any("Bad Request" in line for line in lines)  # the refusal is logged
    assert not [line for line in lines if SECRET_NAME in line]
