"""Fixtures of the datasets room."""

import io

import pytest
from django_q.models import OrmQ

from datasets.models import Import, Task
from datasets.services import add_audio_sample, create_dataset, start_import
from datasets.tasks import run_import


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    """A folder of its own for the stored files of each test."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


@pytest.fixture
def dataset(workspace):
    return create_dataset(workspace=workspace, name="Calls")


@pytest.fixture
def texts(workspace):
    return create_dataset(workspace=workspace, name="Sentences", task=Task.TTS)


@pytest.fixture
def add(dataset):
    """add(audio bytes, filename, ...) -> Sample"""
    return lambda audio, filename="a.wav", **fields: add_audio_sample(
        dataset=dataset, file=io.BytesIO(audio), filename=filename, **fields
    )


@pytest.fixture
def import_into():
    """import_into(dataset, bytes, ...) -> the ended Import, worked on as a worker would."""

    def work(dataset, content, filename="upload", **fields):
        begun = start_import(dataset=dataset, file=io.BytesIO(content), filename=filename, **fields)
        return finish_import(begun)

    return work


def finish_import(begun):
    for _ in range(100):
        run_import(begun.pk)
        begun.refresh_from_db()
        if begun.status in (Import.Status.COMPLETED, Import.Status.FAILED):
            OrmQ.objects.all().delete()
            return begun
    raise AssertionError(f"the import did not end: {begun.status}")


def problems(ended):
    """{line number: problem}"""
    return dict(ended.lines.values_list("number", "problem"))
