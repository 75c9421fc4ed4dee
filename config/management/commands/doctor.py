"""Whether this installation can do its work: each part is ok, or what to do about it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from config.diagnosis import CHECKS, Fault


class Command(BaseCommand):
    help = "Checks settings, database, queue, storage and providers. Exit code 1 where something is wrong."
    requires_system_checks = []  # they are the first thing that it looks at

    def handle(self, *args: Any, **options: Any) -> None:
        faults = 0
        for name, check in CHECKS.items():
            try:
                self.stdout.write(f"ok     {name:<10} {check()}")
            except (Fault, DatabaseError) as fault:
                faults += 1
                self.stdout.write(f"FAULT  {name:<10} {str(fault).splitlines()[0]}")
        if faults:
            raise CommandError(f"{faults} of {len(CHECKS)} are at fault.")
