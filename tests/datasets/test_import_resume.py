"""Imports that lose their worker, run in slices, or meet other changes: nothing twice, nothing lost."""

import io
import os
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from django_q.models import OrmQ

from core.leases import LeaseLost
from datasets.errors import InUse
from datasets.importing.commit import commit_import
from datasets.importing.leases import claim_import
from datasets.importing.sources import open_upload
from datasets.importing.staging import Staging
from datasets.models import Audio, Import, ImportLine, Sample
from datasets.services import add_audio_sample, delete_dataset, resume_stale_imports, start_import
from datasets.tasks import run_import
from tests.audio import make_wav
from tests.datasets.conftest import finish_import, problems
from tests.datasets.test_import_zip import archive

pytestmark = pytest.mark.django_db


@pytest.fixture
def begun(dataset):
    """An import of ten files that no worker has touched."""
    files = {f"{n}.wav": make_wav(freq=300 + 20 * n) for n in range(10)}
    return start_import(dataset=dataset, file=io.BytesIO(archive(files)), filename="ten.zip")


class Enough(BaseException):
    """The end of a worker that is killed."""


@pytest.fixture
def work_and_die(begun, monkeypatch):
    """work_and_die(lines): what a worker leaves that is killed after it committed so many; returns its claim."""

    def work(lines):
        def report(done, total, bad):
            if done >= lines:
                raise Enough

        claim = claim_import(begun.pk)
        with monkeypatch.context() as patch, opened(begun) as source:
            patch.setattr("datasets.importing.staging.LINES_A_SLICE", 1)
            staging = Staging(claim, source, report)
            with pytest.raises(Enough):
                staging.run(until=float("inf"))
        return claim

    return work


@contextmanager
def opened(begun):
    with begun.source.storage.open(begun.source.name) as file, open_upload(file) as source:
        yield source


def let_the_lease_end(begun):
    Import.objects.filter(pk=begun.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_an_import_waits_in_the_queue_until_it_is_worked_on(begun):
    assert begun.status == "pending"
    assert OrmQ.objects.count() == 1


def test_an_import_in_many_slices_is_the_same_as_in_one(begun, settings):
    settings.SLICE_SECONDS = -1  # each slice ends after its first line
    run_import(begun.pk)
    begun.refresh_from_db()
    assert (begun.status, begun.total) == ("running", 10)
    assert 1 <= begun.done < 10
    assert OrmQ.objects.count() == 2  # handed on
    ended = finish_import(begun)
    assert ended.status == "completed"
    assert (ended.done, ended.bad) == (10, 0)
    assert Sample.objects.count() == 10


def test_after_a_lost_worker_the_import_goes_on_where_it_stopped(begun, work_and_die):
    work_and_die(lines=4)
    assert ImportLine.objects.count() == 4
    staged = {line.pk for line in ImportLine.objects.all()}
    let_the_lease_end(begun)
    claim = claim_import(begun.pk)
    with opened(begun) as source:
        assert Staging(claim, source).run(until=float("inf"))
    assert staged < {line.pk for line in ImportLine.objects.all()}
    assert list(ImportLine.objects.values_list("number", flat=True)) == list(range(1, 11))
    commit_import(claim)
    begun.refresh_from_db()
    assert (begun.status, begun.done) == ("completed", 10)
    assert Sample.objects.count() == 10
    assert Audio.objects.count() == 10


def test_no_sample_is_seen_before_all_are(begun, work_and_die):
    work_and_die(lines=6)
    assert Sample.objects.count() == 0


def test_while_one_worker_holds_an_import_another_delivery_does_nothing(begun, work_and_die):
    work_and_die(lines=4)
    run_import(begun.pk)
    assert ImportLine.objects.count() == 4


def test_a_finished_import_is_not_done_again(begun):
    finish_import(begun)
    run_import(begun.pk)
    assert Sample.objects.count() == 10


def test_a_worker_that_lost_its_lease_stores_nothing_more(begun, work_and_die):
    old = work_and_die(lines=4)
    let_the_lease_end(begun)
    claim_import(begun.pk)
    with pytest.raises(LeaseLost):
        commit_import(old)
    with opened(begun) as source:
        with pytest.raises(LeaseLost):
            Staging(old, source).run(until=float("inf"))
    assert Sample.objects.count() == 0
    assert ImportLine.objects.count() == 4


def test_the_sweep_puts_an_import_without_a_worker_back_on_the_queue(begun, work_and_die):
    work_and_die(lines=4)
    OrmQ.objects.all().delete()
    assert resume_stale_imports() == 0  # its lease still runs
    let_the_lease_end(begun)
    assert resume_stale_imports() == 1
    assert OrmQ.objects.count() == 1
    assert finish_import(begun).status == "completed"


def test_the_sweep_leaves_an_import_alone_that_waits_in_the_queue(begun):
    assert resume_stale_imports() == 0
    OrmQ.objects.all().delete()  # its row is lost
    assert resume_stale_imports() == 1


def test_an_import_that_loses_every_worker_ends_with_a_reason(begun, settings):
    settings.SHARD_MAX_ATTEMPTS = 3
    for _ in range(3):
        assert claim_import(begun.pk)
        let_the_lease_end(begun)
    run_import(begun.pk)
    begun.refresh_from_db()
    assert begun.status == "failed"
    assert "lost 3 times" in begun.error
    assert not begun.source


def test_workers_lost_after_progress_do_not_add_up(begun, settings, work_and_die):
    settings.SHARD_MAX_ATTEMPTS = 2
    for lines in (2, 4, 6, 8):
        work_and_die(lines)
        let_the_lease_end(begun)
    assert finish_import(begun).status == "completed"


def test_a_fault_of_the_server_is_tried_again_and_then_told(begun, settings, dataset):
    settings.SHARD_MAX_ATTEMPTS = 2
    default_storage.delete(begun.source.name)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            run_import(begun.pk)
    assert finish_import(begun).status == "failed"


def test_a_stopped_command_is_told_and_not_queued(dataset):
    parent = Import.objects.create(dataset=dataset, source_name="folder")
    claim_import(parent.pk)
    let_the_lease_end(parent)
    assert resume_stale_imports() == 0
    parent.refresh_from_db()
    assert parent.status == "failed"
    assert "Run it again" in parent.error


def test_the_sweep_removes_the_upload_of_an_import_whose_worker_died_at_the_very_end(begun):
    with opened(begun) as source:
        claim = claim_import(begun.pk)
        Staging(claim, source).run(until=float("inf"))
    commit_import(claim)
    assert default_storage.exists(begun.source.name)
    resume_stale_imports()
    assert not default_storage.exists(begun.source.name)
    assert Sample.objects.count() == 10


def test_a_key_that_is_taken_meanwhile_is_a_problem_and_not_a_lost_import(begun, dataset):
    with opened(begun) as source:
        claim = claim_import(begun.pk)
        Staging(claim, source).run(until=float("inf"))
    add_audio_sample(dataset=dataset, file=io.BytesIO(make_wav()), filename="x", key="3.wav")
    commit_import(claim)
    begun.refresh_from_db()
    assert begun.status == "failed"
    assert list(problems(begun)) == [4]
    assert begun.bad == 1
    assert Sample.objects.count() == 1


def test_audio_that_the_dataset_has_already_is_flagged_by_an_import(begun, dataset):
    add_audio_sample(dataset=dataset, file=io.BytesIO(make_wav(freq=300)), filename="first")
    finish_import(begun)
    assert set(Sample.objects.filter(is_duplicate=True).values_list("key", flat=True)) == {"0.wav"}


def test_a_dataset_is_not_deleted_under_a_running_import(begun, dataset):
    with pytest.raises(InUse, match="import"):
        delete_dataset(dataset=dataset)


def test_old_spool_files_of_dead_workers_are_removed(media, dataset):
    spool = media / "spool"
    spool.mkdir(parents=True)
    old, new = spool / "old", spool / "new"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    resume_stale_imports()
    assert not old.exists()
    assert new.exists()
