"""`manage.py export_run RUN`: writes a run's results to stdout."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from evaluations.cli_progress import run_numbered
from evaluations.exporting import FORMATS, export_run


class Command(BaseCommand):
    help = "Writes every result of a run, with its sample and score, to stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="its number")
        parser.add_argument("--file-format", choices=FORMATS, default="csv", help="(default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        run = run_numbered(options["run"])
        for chunk in export_run(run, options["file_format"]):
            self.stdout.write(chunk.decode(), ending="")
