"""Changes of datasets and samples."""

import pytest
from django.db import IntegrityError, transaction

from datasets.errors import InvalidSample, KeyTaken, NameTaken
from datasets.models import Dataset, Import, ReferenceRevision, Sample
from datasets.services import (
    add_text_sample,
    create_dataset,
    delete_dataset,
    delete_sample,
    edit_reference,
    update_dataset,
    update_sample,
)
from tests.audio import make_wav

pytestmark = pytest.mark.django_db


def test_a_name_is_taken_once_a_workspace(dataset, workspace, other_workspace):
    with pytest.raises(NameTaken, match="'Calls'"):
        create_dataset(workspace=workspace, name=" Calls ")
    assert create_dataset(workspace=other_workspace, name="Calls").pk


def test_a_dataset_takes_no_name_that_is_taken(dataset, workspace):
    other = create_dataset(workspace=workspace, name="Other")
    with pytest.raises(NameTaken):
        update_dataset(dataset=other, name="Calls")
    assert Dataset.objects.filter(name="Other").exists()


@pytest.mark.parametrize(("name", "language"), [("", "en"), ("\n", "en"), ("n" * 201, "en"), ("x", "english please")])
def test_names_and_languages_have_to_be_such(workspace, name, language):
    with pytest.raises(InvalidSample):
        create_dataset(workspace=workspace, name=name, language=language)


def test_an_edited_reference_keeps_the_one_before(add, make_member):
    person = make_member()
    sample = add(make_wav(), reference="helo")
    assert edit_reference(sample=sample, reference="hello", edited_by=person).reference_revision == 2
    edit_reference(sample=sample, reference=None)
    assert sample.reference is None
    assert sample.reference_revision == 3
    assert list(sample.revisions.values_list("number", "reference", "replaced_by")) == [
        (2, "hello", None),
        (1, "helo", person.pk),
    ]


def test_the_same_reference_again_is_no_edit(add):
    sample = add(make_wav(), reference="hello")
    edit_reference(sample=sample, reference="hello")
    assert sample.reference_revision == 1
    assert not ReferenceRevision.objects.exists()


def test_unknown_and_empty_references_are_different(add):
    sample = add(make_wav(), reference=None)
    assert edit_reference(sample=sample, reference="").reference_revision == 2


def test_only_what_is_given_is_changed(add):
    sample = add(make_wav(), language="de", tags={"a": "1"})
    update_sample(sample=sample, tags={"b": 2})
    sample.refresh_from_db()
    assert (sample.language, sample.tags) == ("de", {"b": "2"})


def test_texts_and_audio_keep_to_their_datasets(add, dataset, texts):
    with pytest.raises(InvalidSample, match="speech to text"):
        add_text_sample(dataset=dataset, text="hello")
    with pytest.raises(InvalidSample, match="no text"):
        add_text_sample(dataset=texts, text=" \n")


def test_a_text_is_its_own_key_unless_one_is_given(texts):
    assert [add_text_sample(dataset=texts, text="Hello").key for _ in range(3)] == ["Hello", "Hello (2)", "Hello (3)"]
    with pytest.raises(KeyTaken):
        add_text_sample(dataset=texts, text="x", key="Hello")


def test_samples_and_datasets_can_be_deleted(add, dataset):
    first, _ = add(make_wav(), reference="a"), add(make_wav(2))
    edit_reference(sample=first, reference="b")
    delete_sample(sample=first)
    assert Sample.objects.count() == 1
    delete_dataset(dataset=dataset)
    assert not Dataset.objects.exists()


def test_the_database_itself_refuses_a_sample_of_nothing(dataset):
    with pytest.raises(IntegrityError), transaction.atomic():
        Sample.objects.create(dataset=dataset, key="empty")


def test_an_unfinished_import_is_none_that_has_ended(dataset):
    Import.objects.create(dataset=dataset, source_name="x")
    assert not Import.objects.ended().exists()
