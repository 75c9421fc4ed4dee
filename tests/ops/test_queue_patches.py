"""Our cluster replaces parts of django-q2 (`core.queue.cluster` says which, and why). Where a release changes these or
what they stand on, this says what to look at."""

import hashlib
import inspect

import django_q
import pytest
from django_q import cluster, pusher, queues, worker
from django_q.brokers import orm
from django_q.management.commands import qcluster

# What is replaced or called -> its digest, and what of ours to look at where it changes.
PRIVATE_PARTS = {
    cluster.Cluster.__init__: ("140f22e15d6980b0", "Cluster.sig_handler is to be the handler of SIGTERM and SIGINT"),
    cluster.Cluster.start: (
        "70fbc24e3cd71bbd",
        "Cluster.run: it forks the guard, sets stop_event, and returns once the guard runs",
    ),
    cluster.Cluster.stop: ("0230e6a459b68502", "Cluster.run and sig_handler stand in its place"),
    cluster.Cluster.sig_handler: ("e17fb87045374b32", "Cluster.sig_handler stands in its place"),
    cluster.Sentinel.__init__: ("6ddfa0bde90a4a73", "Guard.start: it is called there, after the signals are set"),
    cluster.Sentinel.start: ("ad6269e4eb57a83e", "Guard.start"),
    cluster.Sentinel.guard: (
        "b48dce5446f6cad6",
        "put_back is called as `scheduler`; SharedFlag.wait is its pause; Guard.stop its end",
    ),
    cluster.Sentinel.reincarnate: ("1c3dc62b7aa35a00", "Guard.reincarnate kills what this ends by SIGTERM"),
    cluster.Sentinel.spawn_process: ("0f72360b891e9e95", "Guard: the pool holds the workers, each with its `timer`"),
    cluster.Sentinel.spawn_worker: (
        "3c4764964efe10c1",
        "value: it makes the workers' timers, by the module's name Value",
    ),
    cluster.Sentinel.stop: ("d858ef90cdaaebf5", "Guard.stop gives it STOP_SECONDS"),
    queues.Queue: ("4b08355a852062e3", "Queue: its locks are replaced, and the lock of its size"),
    queues.SharedCounter: ("cc230985381b8b23", "Queue: the lock of `count` is replaced"),
    pusher.pusher: ("6975acb3fb8d45a9", "Guard.stop: it ends when event_out is set"),
    worker.worker: ("b30d59f639b088ea", "sweep_anew is called by post_spawn; the timer says how long a task may take"),
    orm.ORM: ("cbed1739f36c1ed8", "_Delayed in core.queue: a row is deliverable once its lock is past"),
    qcluster.Command.handle: ("4ccd3a45ff702769", "the command `qcluster` calls run_cluster instead"),
}


def digest(part):
    return hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]


@pytest.mark.parametrize("part", PRIVATE_PARTS, ids=lambda part: part.__qualname__)
def test_what_we_replace_in_django_q2_is_as_we_know_it(part):
    known, look_at = PRIVATE_PARTS[part]
    assert digest(part) == known, (
        f"django-q2 {'.'.join(map(str, django_q.VERSION))} changed {part.__module__}.{part.__qualname__}. Look at "
        f"core/queue/cluster.py ({look_at}); where it still holds, write the new digest {digest(part)} here."
    )


def test_the_cluster_finds_by_its_modules_names_what_we_put_in_their_place():
    assert cluster.Queue is queues.Queue
    assert {"Value", "Event", "Sentinel", "scheduler"} <= vars(cluster).keys()


def test_a_queue_of_processes_has_the_locks_that_we_replace():
    queue = queues.Queue()
    assert {"_rlock", "_wlock", "size"} <= vars(queue).keys()
