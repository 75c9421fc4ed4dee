"""Checks whether this installation can work; says for each part that it is ok, or what to do."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from config.doctor_checks import CHECKS, Fault
from evaluations.models import Upload
from evaluations.pipeline.cleanup import remove_leftovers

INDENT = "\n" + " " * 18


class Command(BaseCommand):
    help = "Checks settings, database, queue, storage and providers. Exit code 1 where something is wrong."
    requires_system_checks = []  # its first check runs them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--remove-remote-files",
            action="store_true",
            help="first delete at the providers what no unfinished run needs, whether or not that has failed before",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["remove_remote_files"]:
            self._remove_remote_files()
        faults = 0
        for name, check in CHECKS.items():
            try:
                self.stdout.write(f"ok     {name:<10} {INDENT.join(check().splitlines())}")
            except (Fault, DatabaseError) as fault:
                faults += 1
                self.stdout.write(f"FAULT  {name:<10} {str(fault).splitlines()[0]}")
        if faults:
            raise CommandError(f"{faults} of {len(CHECKS)} are at fault.")

    def _remove_remote_files(self) -> None:
        before = Upload.objects.alive().count()
        remove_leftovers()
        left = Upload.objects.alive().count()
        self.stdout.write(f"Removed {before - left} remote files; {left} are left.")
