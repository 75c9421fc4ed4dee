"""`manage.py export_run RUN`: a run's results, on stdout."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from evaluations.exporting import FORMATS, export_run
from evaluations.models import Run


class Command(BaseCommand):
    help = "Writes every result of a run, with its sample and score, to stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="its number")
        parser.add_argument("--file-format", choices=FORMATS, default="csv", help="(default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        run = Run.objects.filter(pk=options["run"]).first()
        if run is None:
            recent = ", ".join(str(pk) for pk in Run.objects.order_by("-pk").values_list("pk", flat=True)[:10])
            raise CommandError(f"There is no run {options['run']}. The latest are: {recent or 'none yet'}.")
        for chunk in export_run(run, options["file_format"]):
            self.stdout.write(chunk.decode(), ending="")
