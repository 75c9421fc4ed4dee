"""Imports through a real qcluster, which is killed in the middle."""

import io

import pytest

from core.queue import enqueue
from datasets.models import Audio, Import, ImportLine, Sample
from datasets.services import start_import
from tests.audio import make_wav
from tests.datasets.test_import_zip import archive
from tests.evaluations.cluster import running_cluster
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FILES = 400


@pytest.fixture
def begun(dataset):
    files = {f"{number:03}.wav": make_wav(0.2, freq=300 + number) for number in range(FILES)}
    enqueue("evaluations.tasks.sweep")
    return start_import(dataset=dataset, file=io.BytesIO(archive(files)), filename="many.zip")


def test_an_import_goes_on_after_kill_9_of_the_cluster(begun, tmp_path):
    with running_cluster(tmp_path, SLICE_SECONDS="1") as cluster:
        wait_for(lambda: 50 <= Import.objects.get(pk=begun.pk).done < FILES)
        cluster.kill()
    staged = set(ImportLine.objects.values_list("pk", flat=True))
    assert 50 <= len(staged) < FILES
    assert not Sample.objects.exists()
    with running_cluster(tmp_path, SLICE_SECONDS="1"):
        wait_for(lambda: not Import.objects.unfinished().exists())
    ended = Import.objects.get(pk=begun.pk)
    assert (ended.status, ended.done, ended.bad) == ("completed", FILES, 0)
    assert Sample.objects.count() == Audio.objects.count() == FILES
    assert not ImportLine.objects.exists()
