"""What the sweep takes up of runs."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from core.queue import enqueue
from evaluations.models import Shard
from evaluations.pipeline.sweep import requeue_lost_work
from evaluations.services import start_run
from tests.scripted.data import make_dataset, make_model


@pytest.fixture
def shard(workspace):
    """One that waits for a worker for so long that its queue row may be lost."""
    start_run(dataset=make_dataset(workspace), models=[make_model(workspace)])
    Shard.objects.update(queued_at=timezone.now() - timedelta(hours=1))
    OrmQ.objects.update(lock=timezone.now() - timedelta(hours=1))
    return Shard.objects.get()


def queued():
    return [task.task["args"] for task in OrmQ.objects.all() if task.func() == "evaluations.tasks.work_shard"]


def test_a_shard_that_still_waits_in_the_queue_is_left_alone(shard):
    requeue_lost_work()
    assert queued() == [(shard.pk,)]


def test_a_shard_whose_queue_row_is_lost_is_queued_again(shard):
    OrmQ.objects.all().delete()
    requeue_lost_work()
    assert queued() == [(shard.pk,)]


def test_a_lost_queue_row_is_found_although_newer_tasks_wait(shard):
    OrmQ.objects.all().delete()
    enqueue("gateway.tasks.sweep")
    requeue_lost_work()
    assert queued() == [(shard.pk,)]


def test_no_row_is_taken_for_lost_while_tasks_as_old_wait(shard):
    OrmQ.objects.all().delete()
    enqueue("gateway.tasks.sweep")
    OrmQ.objects.update(lock=timezone.now() - timedelta(hours=1))
    requeue_lost_work()
    assert queued() == []
