"""`manage.py collect RUN`: reads the stored result files of a run's batches again."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import EarshotError
from evaluations.cli_progress import run_numbered
from evaluations.models import Run
from evaluations.progress import run_progress
from evaluations.services import collect


class Command(BaseCommand):
    help = (
        "Reads the kept result files of a finished run's batches again, without calling the provider: failed results "
        "end as their lines say now, completed ones stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="its number")

    def handle(self, *args: Any, **options: Any) -> None:
        run = run_numbered(options["run"])
        before = run_progress(run)
        try:
            collect(run=run)
        except EarshotError as error:
            raise CommandError(error.message) from error
        after = run_progress(Run.objects.get(pk=run.pk))
        self.stdout.write(
            f"Run {run.pk}: {after.completed} completed ({before.completed} before), "
            f"{after.failed} failed ({before.failed} before), of {after.total}."
        )
