"""The worker: django-q2's cluster, which goes on at once with what a crash left behind."""

from typing import Any

from django.db import connections
from django_q.management.commands import qcluster

from config.queue import enqueue


class Command(qcluster.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        enqueue("evaluations.tasks.sweep")
        connections.close_all()  # the cluster forks
        super().handle(*args, **options)
