"""What commands say and do about what is at providers, and about kept result files."""

import io
import uuid
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from core.errors import Conflict
from core.queue.periodic import sweep
from evaluations.models import Batch, Result, Run, Score, Upload
from evaluations.pipeline.cleanup import clean_up_run, runs_to_clean_up
from evaluations.services import cancel_run, delete_run, start_run
from providers.models import Provider
from tests.evaluations.gemini import deliver_until, finish, make_audio_dataset

pytestmark = pytest.mark.django_db


def say(*arguments):
    """What the command writes; a fault of another part, such as no worker, is none here."""
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out)
    except CommandError as error:
        out.write(str(error))
    return out.getvalue()


def waiting_run(workspace, gemini, flash):
    """A run whose batch is at the provider."""
    gemini.settings(batch_running_seconds=3600)
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])
    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    return run


def run_with_stubborn_files(workspace, gemini, flash, samples=3):
    """A finished run whose files the provider does not delete: the samples', and two of the batch."""
    gemini.fault("file_delete", "status", status=500, message="not today")
    run = start_run(dataset=make_audio_dataset(workspace, samples=samples), models=[flash])
    deliver_until(lambda: Upload.objects.filter(run=run, delete_attempts__gt=0).count() == samples + 2)
    run.refresh_from_db()
    assert run.is_finished
    return run


def test_the_doctor_lists_what_is_at_the_provider(workspace, gemini, flash):
    run = waiting_run(workspace, gemini, flash)
    Upload.objects.update(created_at=timezone.now() - timedelta(hours=3))
    said = say("doctor")
    assert "ok     remote     4 files and 1 batches are at providers" in said
    assert f"run {run.pk} (running) at gemini: 4 files, the oldest for 3 h; they expire by 20" in said
    name = Batch.objects.get().remote_name
    assert f"run {run.pk} (running): batch {name}, waiting for the provider, submitted 0 min ago" in said


def test_the_doctor_says_where_deleting_fails(workspace, gemini, flash):
    run = run_with_stubborn_files(workspace, gemini, flash)
    expected = f"run {run.pk} (completed) at gemini: 5 files, the oldest for 0 min; deleting 5 of them failed"
    assert expected in say("doctor")


def test_the_doctor_finds_nothing_after_a_run_that_left_nothing(workspace, gemini, flash):
    finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash]))
    assert "ok     remote     nothing is left at a provider" in say("doctor")


def test_files_of_finished_runs_are_removed_on_demand(workspace, gemini, flash):
    run_with_stubborn_files(workspace, gemini, flash)
    gemini.clear_faults()
    said = say("doctor", "--remove-remote-files")
    assert "Removed 5 remote files; 0 are left." in said
    assert gemini.state()["files"] == []
    assert not Upload.objects.alive().exists()


def test_what_cannot_be_removed_is_said_to_be_left(workspace, gemini, flash):
    run_with_stubborn_files(workspace, gemini, flash)
    said = say("doctor", "--remove-remote-files")
    assert "Removed 0 remote files; 5 are left." in said
    assert "deleting 5 of them failed" in said
    assert len(gemini.state()["files"]) == 5


def test_files_that_an_unfinished_run_needs_stay(workspace, gemini, flash):
    waiting_run(workspace, gemini, flash)
    assert "Removed 0 remote files; 4 are left." in say("doctor", "--remove-remote-files")
    assert len(gemini.state()["files"]) == 4


def test_files_of_a_deleted_provider_are_said_to_be_beyond_reach(workspace, gemini, flash):
    run_with_stubborn_files(workspace, gemini, flash)
    Provider.objects.all().delete()
    assert "at a provider that was deleted here: 5 files" in say("doctor", "--remove-remote-files")


def test_files_of_a_deleted_provider_are_not_waited_for_longer_than_they_live(workspace, gemini, flash):
    run = run_with_stubborn_files(workspace, gemini, flash)
    Provider.objects.all().delete()
    OrmQ.objects.all().delete()
    clean_up_run(run.pk)
    assert not OrmQ.objects.exists()  # nobody can do anything about them, again and again
    Upload.objects.update(expires_at=None, created_at=timezone.now() - timedelta(hours=49))
    clean_up_run(run.pk)
    delete_run(run=run)


def test_a_provider_that_cannot_be_called_at_all_is_said_to_be_why_files_stay(workspace, gemini, flash):
    run = run_with_stubborn_files(workspace, gemini, flash)
    Provider.objects.update(kind="bygone")
    Upload.objects.update(delete_due_at=timezone.now())
    clean_up_run(run.pk)
    assert "no providers of the kind 'bygone'" in Upload.objects.alive().first().delete_error


def test_who_comes_second_to_some_files_goes_on_with_the_others(workspace, gemini, flash, settings):
    settings.UPLOAD_CONCURRENCY = 1
    run = run_with_stubborn_files(workspace, gemini, flash, samples=10)
    gemini.clear_faults()
    Upload.objects.update(delete_due_at=timezone.now())
    others = []

    def come_first(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and "lease_token" in sql and not others:
            others.extend(Upload.objects.to_delete().values_list("pk", flat=True)[:6])
            taken_until = timezone.now() + timedelta(minutes=1)
            Upload.objects.filter(pk__in=others).update(lease_token=uuid.uuid4(), lease_until=taken_until)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(come_first):
        clean_up_run(run.pk)
    assert set(Upload.objects.alive().values_list("pk", flat=True)) == set(others)
    assert len(gemini.state()["files"]) == 6


def test_what_is_still_to_be_stopped_does_not_pile_up_tasks(workspace, gemini, flash):
    run = waiting_run(workspace, gemini, flash)
    gemini.fault("batch_cancel", "status", status=500, message="not today")
    cancel_run(run=run)
    Batch.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    OrmQ.objects.all().delete()
    clean_up_run(run.pk)
    assert Batch.objects.to_cancel().exists()
    assert not OrmQ.objects.filter(lock__lte=timezone.now() + timedelta(seconds=10)).exists()
    assert runs_to_clean_up() == [run.pk]  # the sweep asks again


def test_files_that_a_worker_did_not_let_go_of_before_it_died_are_found(workspace, gemini, flash):
    run = run_with_stubborn_files(workspace, gemini, flash)
    gemini.clear_faults()
    Upload.objects.update(delete_due_at=None)
    sweep()
    deliver_until(lambda: not Upload.objects.alive().exists())
    assert gemini.state()["files"] == []
    assert run.is_finished


def test_a_batch_whose_model_was_deleted_is_not_left_waiting(workspace, gemini, flash):
    run = waiting_run(workspace, gemini, flash)
    flash.delete()
    deliver_until(lambda: Run.objects.get(pk=run.pk).is_finished)
    assert set(Result.objects.values_list("reason", flat=True)) == {"model_removed"}
    assert Batch.objects.get().state == "ended"
    deliver_until(lambda: not Batch.objects.to_cancel().exists())
    assert [batch["state"] for batch in gemini.state()["batches"].values()] == ["CANCELLED"]


@pytest.mark.django_db(transaction=True)
def test_deleting_a_run_deletes_the_result_files_that_were_kept(workspace, gemini, flash):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash]))
    kept = Batch.objects.get().output.name
    assert default_storage.exists(kept)
    delete_run(run=run)
    assert not default_storage.exists(kept)


def test_a_run_whose_files_the_provider_refuses_to_delete_is_deleted_when_they_have_expired(workspace, gemini, flash):
    gemini.settings(result_files_can_be_deleted=False)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Upload.objects.alive().filter(run=run, delete_attempts=1).count() == 1)
    left = Upload.objects.alive().get()
    with pytest.raises(Conflict, match=f"they expire by {left.expires_at:%Y-%m-%d %H:%M}"):
        delete_run(run=run)
    assert not OrmQ.objects.filter(lock__lte=timezone.now() + timedelta(hours=1)).exists()  # until then nobody asks
    asked = gemini.state()["calls"]["file_delete"]
    Upload.objects.filter(pk=left.pk).update(expires_at=timezone.now(), delete_due_at=timezone.now())
    clean_up_run(run.pk)
    assert gemini.state()["calls"]["file_delete"] == asked
    delete_run(run=run)


def test_a_long_deadline_does_not_ask_for_files_that_live_longer_than_any(workspace, gemini, flash, settings):
    settings.BATCH_DEADLINE_HOURS = 96
    finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash]))
    assert Upload.objects.filter(kind="audio").count() == 2


# --- Collecting again ---------------------------------------------------------------------------


def test_a_run_is_collected_again_without_the_provider(workspace, gemini, flash):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash]))
    first = Result.objects.filter(run=run).order_by("pk")[0]
    text = first.hypothesis
    Result.objects.filter(pk=first.pk).update(status="failed", reason="internal_error", hypothesis="")
    calls = gemini.state()["calls"]

    said = say("collect", str(run.pk))

    assert said == f"Run {run.pk}: 3 completed (2 before), 0 failed (1 before), of 3.\n"
    first.refresh_from_db()
    assert (first.status, first.hypothesis) == ("completed", text)
    run.refresh_from_db()
    assert run.status == "completed"
    assert gemini.state()["calls"] == calls


def test_collecting_twice_changes_nothing(workspace, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=5), models=[flash])
    for index, fault in enumerate(("error", "bad_json", "max_tokens", "empty_text")):
        gemini.fault("line", fault, indices=[index])
    finish(run)
    before = [list(rows.objects.order_by("pk").values()) for rows in (Result, Score, Batch)]
    assert say("collect", str(run.pk)) == f"Run {run.pk}: 2 completed (2 before), 3 failed (3 before), of 5.\n"
    assert [list(rows.objects.order_by("pk").values()) for rows in (Result, Score, Batch)] == before


def test_collecting_says_why_it_cannot(workspace, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=1), models=[flash], mode="direct")
    assert say("collect", str(run.pk)) == "This run is still going on. Wait until it has ended."
    finish(run)
    assert "No result file of a batch is kept for this run" in say("collect", str(run.pk))
    assert f"There is no run {run.pk + 1}. The latest are: {run.pk}." in say("collect", str(run.pk + 1))
