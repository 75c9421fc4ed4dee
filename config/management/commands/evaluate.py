"""Runs an evaluation from the command line; in CI, fails where a model got worse than a limit."""

import time
from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.access import workspace_named
from accounts.models import Workspace
from config.processes import worker_running
from core.errors import EarshotError
from core.processes import interruptible
from datasets.models import Dataset
from evaluations.cli_progress import is_claimed, watch
from evaluations.models import Run
from evaluations.scoring.leaderboard import Leaderboard, leaderboard
from evaluations.scoring.normalizers import DEFAULT
from evaluations.scoring.table import leaderboard_table
from evaluations.services import start_run
from providers.models import SpeechModel

PATIENCE = 3.0  # seconds within which a running worker claims a new run


class Command(BaseCommand):
    help = (
        "Starts an evaluation of a dataset by one or more models. With --wait it shows the progress and prints the "
        "leaderboard, and ends with 1 where a model's WER is above --max-wer or a result is not completed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dataset", help="its name")
        parser.add_argument("--model", action="append", required=True, help="provider/name; may be given again")
        parser.add_argument("--workspace", help="its slug; the first by name unless given")
        parser.add_argument("--name", default="", help="of the run")
        parser.add_argument("--normalizer", default=DEFAULT, help="for the scores (default: %(default)s)")
        parser.add_argument("--wait", action="store_true", help="until the run has ended; needed by what follows")
        parser.add_argument("--max-wer", type=float, help="highest WER that is good enough: 0.2 is 20 %%")
        parser.add_argument("--allow-failures", type=int, metavar="N", help="results that need not be completed (0)")
        parser.add_argument(
            "--worker",
            choices=["auto", "never"],
            default="auto",
            help="auto: where no worker takes the run up, start one for as long as this waits (default: auto)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("max_wer", "allow_failures"):
            if options[name] is not None and not options["wait"]:
                raise CommandError(f"--{name.replace('_', '-')} needs --wait: without it nothing is known yet.")
        run = self._start(options)
        count = sum(job.total for job in run.jobs.all())
        self.stderr.write(f"Run {run.pk} “{run.name}”: {count} results to come.", style_func=str)
        if not options["wait"]:
            self.stdout.write(str(run.pk))
            return
        self._wait(run, options["worker"])
        board = leaderboard(run)
        self.stdout.write(leaderboard_table(board))
        self._judge(board, options["max_wer"], options["allow_failures"] or 0)

    def _start(self, options: dict[str, Any]) -> Run:
        workspace = workspace_named(options["workspace"])
        dataset = _dataset(workspace, options["dataset"])
        models = [_model(workspace, name) for name in options["model"]]
        try:
            return start_run(dataset=dataset, models=models, name=options["name"], normalizer=options["normalizer"])
        except EarshotError as error:
            raise CommandError(error.message) from error

    def _wait(self, run: Run, worker: str) -> None:
        ended = False
        with interruptible(), ExitStack() as stack:
            if worker == "auto" and not _is_claimed_soon(run):
                self.stderr.write("No worker takes it up: one is started for as long as this waits.", style_func=str)
                stack.enter_context(worker_running())
            watch(run, self.stderr)
            ended = True
        if not ended:
            raise CommandError(
                f"Not waiting any more. Run {run.pk} goes on wherever a worker runs (manage.py watchdog).",
                returncode=130,
            )

    def _judge(self, board: Leaderboard, max_wer: float | None, allowed: int) -> None:
        problems = []
        missing = sum(row.total - row.completed for row in board.rows)
        if missing > allowed:
            problems.append(f"{missing} results are not completed ({allowed} allowed).")
        for row in board.rows:
            if max_wer is None:
                continue
            if row.wer is None:
                problems.append(f"{row.model_name} has no WER: nothing was scored.")
            elif row.wer > max_wer:
                problems.append(f"{row.model_name} has a WER of {row.wer:.2%}: more than {max_wer:.2%}.")
        if problems:
            raise CommandError("\n".join(problems))


def _is_claimed_soon(run: Run) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if is_claimed(run):
            return True
        time.sleep(0.1)
    return False


def _dataset(workspace: Workspace, name: str) -> Dataset:
    datasets = Dataset.objects.for_workspace(workspace)
    found: Dataset | None = datasets.filter(name=name).first()
    if found is None:
        known = _listed(datasets.order_by("name").values_list("name", flat=True))
        raise CommandError(f"There is no dataset {name!r} in workspace {workspace.slug}. There are: {known}.")
    return found


def _model(workspace: Workspace, name: str) -> SpeechModel:
    models = SpeechModel.objects.for_workspace(workspace)
    found = models.named(name).first()
    if found is None:
        known = _listed(model.public_name for model in models.select_related("provider"))
        raise CommandError(f"There is no model {name!r} in workspace {workspace.slug}. There are: {known}.")
    return found


def _listed(names: Any) -> str:
    return ", ".join(names) or "none yet"
