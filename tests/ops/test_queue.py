"""A real cluster of workers: it ends when it is told to, and goes on where rows of its queue are lost."""

import os
import signal
from datetime import timedelta

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ

from core.models import Timer
from core.queue import enqueue, periodic
from tests.evaluations.cluster import running_cluster
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def to_the_group(cluster):
    os.killpg(cluster.process.pid, signal.SIGTERM)


def to_the_main_process(cluster):
    cluster.process.terminate()


def be_idle():
    return swept()


def be_busy():
    """With what does not end by itself, in both workers."""
    if OrmQ.objects.filter(lock__gt=timezone.now() + timedelta(minutes=10)).count() >= 2:
        return True
    if not OrmQ.objects.exists():
        for _ in range(3):
            enqueue("time.sleep", 600)
    return False


def swept():
    return Timer.objects.filter(due_at__gt=timezone.now()).exists()


@pytest.mark.parametrize("tell", [to_the_group, to_the_main_process])
@pytest.mark.parametrize("reach_state", [be_idle, be_busy])
def test_sigterm_ends_every_process(tmp_path, reach_state, tell):
    with running_cluster(tmp_path, SWEEP_SECONDS="3600") as cluster:
        wait_for(reach_state)
        processes = [psutil.Process(cluster.process.pid), *psutil.Process(cluster.process.pid).children(recursive=True)]
        assert len(processes) >= 6  # main process, guard, two workers, pusher, monitor
        tell(cluster)
        assert cluster.process.wait(60) == 0
        wait_for(lambda: not any(map(is_alive, processes)))


def is_alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("which", "exit_code"), [(0, -signal.SIGKILL), (1, 1)], ids=["main process", "guard"])
def test_no_process_outlives_one_that_started_it(tmp_path, which, exit_code):
    with running_cluster(tmp_path, SWEEP_SECONDS="3600") as cluster:
        wait_for(swept)
        main = psutil.Process(cluster.process.pid)
        [guard] = main.children()
        processes = [main, guard, *guard.children()]
        processes[which].kill()
        assert cluster.process.wait(60) == exit_code
        wait_for(lambda: not any(map(is_alive, processes)))


def test_a_worker_that_is_over_its_time_is_killed_although_it_heeds_no_signal(tmp_path):
    times = {"Q_TIMEOUT": "1", "SLICE_SECONDS": "0", "CALL_TIMEOUT_SECONDS": "0.5", "SWEEP_SECONDS": "3600"}
    with running_cluster(tmp_path, **times) as cluster:
        wait_for(swept)
        [guard] = psutil.Process(cluster.process.pid).children()
        before = guard.children()
        enqueue("hashlib.pbkdf2_hmac", "sha256", b"password", b"salt", 2**31 - 1)  # one call of a C library
        wait_for(lambda: not all(map(is_alive, before)))
        wait_for(lambda: sum(map(is_alive, guard.children())) == len(before))


def test_the_sweep_comes_back_where_the_queue_has_lost_all_rows(tmp_path):
    def lose_all():
        OrmQ.objects.all().delete()
        return Timer.objects.filter(due_at__lt=timezone.now() - timedelta(seconds=2)).exists()

    with running_cluster(tmp_path):
        wait_for(swept)
        wait_for(lose_all)
        wait_for(swept)


@pytest.mark.parametrize("due_in", [None, -60])
def test_a_sweep_that_is_due_and_does_not_come_is_put_on_the_queue(due_in):
    if due_in is not None:
        Timer.objects.create(name=periodic.SWEEP, due_at=timezone.now() + timedelta(seconds=due_in))
    periodic.put_back_due()
    assert [task.func() for task in OrmQ.objects.all()] == [periodic.SWEEP]


def test_a_sweep_that_is_not_due_yet_is_not_put_on_the_queue_again():
    periodic.sweep()
    periodic.put_back_due()
    assert OrmQ.objects.count() == 1


def test_a_part_of_the_sweep_that_fails_keeps_no_other_from_its_work(monkeypatch, caplog):
    called = []
    monkeypatch.setattr(periodic, "_paths", ["voice.tasks.sweep", "gateway.tasks.sweep", "datasets.tasks.sweep"])
    monkeypatch.setattr("voice.tasks.sweep", lambda: called.append("voice"))
    monkeypatch.setattr("gateway.tasks.sweep", lambda: 1 / 0)
    monkeypatch.setattr("datasets.tasks.sweep", lambda: called.append("datasets"))
    periodic.sweep()
    assert sorted(called) == ["datasets", "voice"]
    assert "gateway.tasks.sweep failed with ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("path", ["evaluations.tasks.sweep", "gateway.tasks.sweep", "voice.tasks.sweep"])
def test_rows_that_an_older_release_has_put_on_the_queue_still_run(path):
    enqueue(path)
    task = OrmQ.objects.get()
    assert periodic.import_string(task.func())(*task.task["args"]) is None
