"""What comes between the steps of a batch: cancels, lost leases, deadlines, refusals, and time that is over."""

import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from core.errors import Conflict
from core.leases import LeaseLost, renewed
from evaluations.models import Batch, Job, Result, Run, Shard, Upload
from evaluations.pipeline.batch import BatchRunner
from evaluations.pipeline.cleanup import clean_up_run
from evaluations.pipeline.leases import claim_shard
from evaluations.progress import run_progress
from evaluations.services import cancel_run, delete_run, start_run
from evaluations.tasks import work_shard
from providers.registry import close_adapters
from tests.evaluations.gemini import deliver_until, finish, make_audio_dataset
from tests.servers.gemini import API_KEY
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


def meanwhile(condition, action):
    """Starts a thread that does `action` as soon as `condition()` holds; to be joined."""

    def watch():
        try:
            wait_for(condition, every=0.02)
            action()
        finally:
            connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def is_cancelled_at(gemini):
    return all(batch["state"].endswith("CANCELLED") for batch in gemini.state()["batches"].values())


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_no_refusal_of_a_poll_fails_what_is_paid_for(workspace, gemini, flash, status):
    gemini.fault("batch_get", "status", status=status, message="not just now", times=3)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.exclude(waiting_for="").exists())
    assert finish(run).status == "completed"
    assert set(gemini.state()["submitted_keys"].values()) == {1}


def test_a_batch_that_stays_unknown_is_given_up(workspace, gemini, flash):
    gemini.fault("batch_get", "status", status=404, message="no such batch")
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash]))
    assert set(Result.objects.filter(run=run).values_list("reason", flat=True)) == {"batch_failed"}


def test_results_that_are_ready_are_fetched_after_the_deadline_too(workspace, gemini, flash):
    gemini.settings(batch_running_seconds=3600)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    Batch.objects.update(deadline_at=timezone.now() - timedelta(hours=1))
    gemini.advance(3600)  # nobody was there to look
    assert finish(run).status == "completed"


def test_a_worker_that_has_lost_its_shard_creates_no_batch(workspace, gemini, flash):
    gemini.fault("batch_create", "status", status=429, message="too many", times=1)
    start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(waiting_for__contains="too many").exists())
    lease = claim_shard(Shard.objects.get().pk)
    Shard.objects.update(lease_token=uuid.uuid4())  # another worker's by now
    with renewed(lease) as heartbeat, pytest.raises(LeaseLost):
        BatchRunner(lease, heartbeat, flash).work()
    assert gemini.state()["batches"] == {}
    assert Batch.objects.get().create_sent_at is None


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_comes_into_being_after_the_cancel_is_stopped(workspace, gemini, flash):
    gemini.settings(batch_running_seconds=3600)
    gemini.fault("batch_create", "delay", seconds=1.0, times=1)
    gemini.fault("file_delete", "status", status=503)  # or there would be nothing to make a batch of
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])

    def cancel_for_good():
        cancel_run(run=run)
        Batch.objects.update(create_sent_at=timezone.now() - timedelta(hours=1))  # as if it had taken that long
        clean_up_run(run.pk)
        assert not Batch.objects.to_cancel().exists()

    thread = meanwhile(Batch.objects.exclude(create_sent_at=None).exists, cancel_for_good)
    deliver_until(lambda: gemini.state()["batches"])
    thread.join()
    clean_up_run(run.pk)
    assert is_cancelled_at(gemini)
    assert not Batch.objects.to_cancel().exists()
    assert Batch.objects.get().remote_name == ""


@pytest.mark.django_db(transaction=True)
def test_a_cancel_in_the_midst_of_uploads_ends_them_and_leaves_no_file(workspace, gemini, flash, settings):
    settings.SHARD_LEASE_SECONDS = 3
    gemini.settings(latency_seconds=0.2)
    run = start_run(dataset=make_audio_dataset(workspace, samples=40), models=[flash])
    thread = meanwhile(Upload.objects.filter(state="active").exists, lambda: cancel_run(run=run))
    finish(run)
    thread.join()
    assert run.status == "cancelled"
    state = gemini.state()
    assert state["files"] == []
    assert 0 < len(state["files_ever"]) < 36
    assert state["batches"] == {}


def test_what_a_batch_has_made_before_it_was_stopped_is_deleted(workspace, gemini, flash):
    gemini.settings(batch_running_seconds=3600)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    gemini.advance(3600)  # it ends, and nobody looks before the cancel
    cancel_run(run=run)
    finish(run)
    state = gemini.state()
    assert [batch["state"] for batch in state["batches"].values()] == ["SUCCEEDED"]
    assert (state["files"], len(state["files_ever"])) == ([], 4)


def test_a_batch_that_takes_its_time_to_stop_is_looked_at_until_it_has(workspace, gemini, flash):
    gemini.settings(batch_running_seconds=7200, batch_cancel_seconds=3600)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    cancel_run(run=run)
    clean_up_run(run.pk)
    assert Batch.objects.to_cancel().exists()
    gemini.advance(3600)
    clean_up_run(run.pk)
    assert is_cancelled_at(gemini)
    assert not Batch.objects.to_cancel().exists()


def test_a_batch_that_a_wrong_key_kept_from_being_stopped_is_stopped_by_the_right_one(workspace, gemini, flash):
    gemini.settings(batch_running_seconds=3600)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    provider = flash.provider
    close_adapters()
    provider.credential = "not the key"
    provider.save()
    cancel_run(run=run)
    clean_up_run(run.pk)
    assert "Stopping it at the provider failed" in Batch.objects.get().waiting_for
    Upload.objects.update(state="gone")
    with pytest.raises(Conflict, match="still being"):
        delete_run(run=run)
    close_adapters()
    provider.credential = API_KEY
    provider.save()
    clean_up_run(run.pk)
    assert is_cancelled_at(gemini)
    assert Batch.objects.get().waiting_for == ""


def test_a_worker_that_died_between_the_batchs_end_and_the_shards_leaves_nothing_to_submit(workspace, gemini, flash):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash]))
    for rows, state in ((Shard, {"state": "open"}), (Job, {"status": "running"}), (Run, {"status": "running"})):
        rows.objects.update(**state)
    work_shard(Shard.objects.get().pk)
    assert finish(run).status == "completed"
    assert Batch.objects.get().number == 1
    assert run_progress(run).jobs[0].error == ""


def waiting_for_its_result_file(workspace, gemini, flash):
    """A run whose batch has ended at the provider; its result file could not be fetched yet."""
    gemini.fault("download", "status", status=500, times=1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Batch.objects.filter(state="collecting", faults=1).exists())
    return run


def test_a_worker_that_has_lost_its_shard_ends_no_result(workspace, gemini, flash):
    run = waiting_for_its_result_file(workspace, gemini, flash)
    lease = claim_shard(Shard.objects.get().pk)
    Shard.objects.update(lease_token=uuid.uuid4())  # another worker's by now
    with renewed(lease) as heartbeat, pytest.raises(LeaseLost):
        BatchRunner(lease, heartbeat, flash).work()
    assert Result.objects.filter(run=run, status="pending").count() == 2


def test_a_result_file_whose_worker_died_before_it_wrote_that_down_is_replaced(workspace, gemini, flash):
    run = waiting_for_its_result_file(workspace, gemini, flash)
    batch = Batch.objects.get()
    path = Path(batch.output_path)
    default_storage.save(str(path), ContentFile(b"half of"))
    assert finish(run).status == "completed"
    _, files = default_storage.listdir(str(path.parent))
    assert [name for name in files if batch.display_name in name] == [path.name]


@pytest.mark.django_db(transaction=True)
def test_a_result_file_that_no_worker_wrote_down_is_deleted_with_its_run(workspace, gemini, flash):
    run = waiting_for_its_result_file(workspace, gemini, flash)
    path = default_storage.save(Batch.objects.get().output_path, ContentFile(b"half of"))
    cancel_run(run=run)
    finish(run)
    delete_run(run=run)
    assert not default_storage.exists(path)


def test_uploads_that_do_not_fit_in_a_slice_are_handed_back(workspace, gemini, flash, settings):
    settings.SLICE_SECONDS = 0.5
    gemini.settings(latency_seconds=0.1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=20), models=[flash])
    OrmQ.objects.all().delete()
    work_shard(Shard.objects.get().pk)
    planned = Upload.objects.planned()
    assert 0 < planned.filter(lease_until=None).count() == planned.count() < 20
    assert finish(run).status == "completed"


def test_what_cannot_be_uploaded_fails_at_the_end_of_the_slice_and_is_not_tried_again(
    workspace, gemini, flash, settings
):
    settings.SLICE_SECONDS = 0.5
    gemini.settings(latency_seconds=0.1, batch_running_seconds=3600.0)
    gemini.fault("file", "FAILED", times=1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=12), models=[flash])
    OrmQ.objects.all().delete()
    work_shard(Shard.objects.get().pk)
    assert Result.objects.filter(run=run, status="failed", reason="file_refused").count() == 1
    assert Result.objects.filter(run=run, status="pending").count() == 11
    gemini.settings(batch_running_seconds=0.0)  # of a batch that is still to be made
    gemini.advance(3600)
    finish(run)
    assert not Upload.objects.filter(generation__gt=1).exists()
