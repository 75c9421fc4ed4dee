from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from core.processes import interruptible
from core.queue.watchdog import Worker
from core.queue.worker_health import stall_seconds


class Command(BaseCommand):
    help = "Runs the worker (qcluster) and starts it again when it dies or stalls."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stall-seconds",
            type=float,
            default=stall_seconds(),
            help="Restart a worker that leaves tasks waiting and shows no sign of work for so long (%(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker(options["stall_seconds"])
        with interruptible():
            try:
                worker.keep_alive()
            finally:
                worker.stop()
