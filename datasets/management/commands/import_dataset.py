"""`manage.py import_dataset PATH --name N`: import files of this machine into a dataset."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.access import workspace_named
from accounts.models import Workspace
from core.errors import EarshotError
from datasets.cleaning import clean_key
from datasets.importing.runner import run_local_import
from datasets.models import Dataset, Import, Task
from datasets.services import create_dataset, delete_if_empty

PROBLEMS_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Imports a folder, a zip, or a csv or jsonl manifest into a dataset, which is made where it is missing. "
        "A manifest has the columns file and reference, and may have key, language, text and no_speech; others become "
        "tags. Either everything is imported or nothing, unless --skip-bad is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--name", required=True, help="the dataset")
        parser.add_argument("--workspace", help="its slug; the first by name unless given")
        parser.add_argument("--language", default="en", help="of a dataset that is made: BCP-47 (default: en)")
        parser.add_argument("--task", choices=Task.values, default=Task.STT, help="of a dataset that is made")
        parser.add_argument("--skip-bad", action="store_true", help="leave lines with problems out")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["path"]
        if not path.exists():
            raise CommandError(f"There is no file or folder {path}.")
        try:
            dataset, is_new = _dataset(workspace_named(options["workspace"]), options)
        except EarshotError as error:
            raise CommandError(error.message) from error
        parent = Import.objects.create(dataset=dataset, source_name=clean_key(path.name), skip_bad=options["skip_bad"])
        run_local_import(parent, path.resolve(), self._report)
        parent.refresh_from_db()
        self._show_problems(parent)
        if parent.status == Import.Status.FAILED:
            if is_new:
                delete_if_empty(dataset=dataset)
            raise CommandError(_advice(parent))
        self.stdout.write(f"Imported {parent.done - parent.bad} samples into {dataset.name}.")

    def _report(self, done: int, total: int, bad: int) -> None:
        problems = f", {bad} with problems" if bad else ""
        end = "\n" if done == total else ""
        self.stderr.write(f"\r{done} of {total} read{problems}", ending=end)

    def _show_problems(self, parent: Import) -> None:
        problems = parent.lines.exclude(problem="")
        for line in problems[:PROBLEMS_SHOWN]:
            self.stderr.write(f"line {line.number}: {line.name}: {line.problem}")
        if parent.bad > PROBLEMS_SHOWN:
            self.stderr.write(f"... and {parent.bad - PROBLEMS_SHOWN} more")


def _advice(parent: Import) -> str:
    """Why the import was refused, with this command's option where one helps."""
    skipping_helps = 0 < parent.bad < parent.done and not parent.skip_bad
    return f"{parent.error} With --skip-bad the others are imported." if skipping_helps else parent.error


def _dataset(workspace: Workspace, options: dict[str, Any]) -> tuple[Dataset, bool]:
    """The dataset that is named, and whether it was made here."""
    name = options["name"]
    found = Dataset.objects.for_workspace(workspace).filter(name=clean_key(name)).first()
    if found is not None:
        return found, False
    made = create_dataset(workspace=workspace, name=name, task=options["task"], language=options["language"])
    return made, True
