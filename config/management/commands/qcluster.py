"""The worker: django-q2's cluster, which goes on at once with what a crash left behind, and leaves to the next worker
what it cannot end soon."""

from types import FrameType
from typing import Any

from django.db import connections
from django_q import cluster
from django_q.management.commands import qcluster

from config.queue import ask_to_stop, enqueue


class Cluster(cluster.Cluster):
    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        ask_to_stop()
        super().sig_handler(signum, frame)


class Command(qcluster.Command):
    def add_arguments(self, parser: Any) -> None:
        """None: the queue has one name, from the settings."""

    def handle(self, *args: Any, **options: Any) -> None:
        enqueue("evaluations.tasks.sweep")
        connections.close_all()  # the cluster forks
        Cluster().start()
