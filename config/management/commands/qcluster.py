from typing import Any

from django_q.management.commands import qcluster

from core.queue.cluster import run_cluster


class Command(qcluster.Command):
    def add_arguments(self, parser: Any) -> None:
        """Add no options: django-q2's would choose another queue, but its name comes from the settings."""

    def handle(self, *args: Any, **options: Any) -> None:
        run_cluster()
