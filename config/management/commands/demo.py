"""A real evaluation on this machine, from nothing to a leaderboard, and the site to look at it.

Doing it again goes on where it stopped, and adds nothing to what is there.
"""

from argparse import ArgumentParser
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User, Workspace
from config import dotenv
from config.demo_speech import add_missing_sentences
from config.management.commands.setup import ADMIN, WORKSPACE
from config.processes import ProcessGroup, answers, port_is_free, uvicorn
from core.processes import interruptible, manage
from datasets.models import Dataset
from datasets.services import create_dataset
from evaluations.cli_progress import watch
from evaluations.models import Run
from evaluations.scoring.leaderboard import leaderboard
from evaluations.scoring.table import leaderboard_table
from evaluations.services import start_run
from providers.adapters.base import ProviderError
from providers.models import SpeechModel

NAME = "demo"
SPEAKER = "espeak-ng"
MODELS = ["pocketsphinx", "pocketsphinx-fast"]
# Short leases, so that a demonstration that was killed goes on within seconds; no logs within the progress bar.
ENVIRONMENT = {"SHARD_LEASE_SECONDS": "20", "SWEEP_SECONDS": "5", "LOG_LEVEL": "WARNING"}

ADDRESS = """
Admin     http://{host}:{port}/admin/
User      {user}
Password  {password}
Ctrl-C stops everything."""


class Command(BaseCommand):
    help = "Evaluates two embedded models on spoken sentences, prints the leaderboard, and serves the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen at (%(default)s).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen at (%(default)s).")
        parser.add_argument("--no-serve", action="store_true", help="End after the leaderboard.")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, serve = options["host"], options["port"], not options["no_serve"]
        if serve and not port_is_free(host, port):
            raise CommandError(f"Port {port} is in use. Choose another one: make demo PORT={port + 1}")
        site = ProcessGroup(ENVIRONMENT)
        with interruptible():
            try:
                password = self._set_up()
                run = self._started_run()
                site.start("worker's watchdog", manage("watchdog"))
                if serve:
                    site.start("web server", uvicorn(host, port))
                self._show_outcome(run)
                if serve:
                    if not answers(host, port):
                        raise CommandError("The web server does not start; see above.")
                    self._say(ADDRESS.format(host=host, port=port, user=ADMIN, password=password))
                    site.keep_alive()
            finally:
                site.stop()

    def _set_up(self) -> str:
        """Return the admin user's password, made at the first start and kept in `.env`."""
        call_command("setup", stdout=StringIO())
        password = dotenv.ensure("DEMO_ADMIN_PASSWORD")
        if not User.objects.get(username=ADMIN).check_password(password):
            call_command("setup", admin_password=password, stdout=StringIO())
        return password

    def _started_run(self) -> Run:
        workspace = Workspace.objects.get(slug=WORKSPACE)
        of_this_machine = SpeechModel.objects.filter(provider__workspace=workspace, provider__name="local")
        models = {model.name: model for model in of_this_machine.select_related("provider")}
        dataset = Dataset.objects.filter(workspace=workspace, name=NAME).first()
        dataset = dataset or create_dataset(workspace=workspace, name=NAME, description="Spoken by espeak-ng.")
        try:
            added = add_missing_sentences(dataset, models[SPEAKER])
        except ProviderError as error:
            raise CommandError(str(error)) from error
        self._say(f"Dataset {NAME}: {dataset.samples.count()} spoken sentences ({added} of them new).")
        chosen = [models[name] for name in MODELS]
        admin = User.objects.get(username=ADMIN)
        return start_run(dataset=dataset, models=chosen, name="Demonstration", created_by=admin, idempotency_key=NAME)

    def _show_outcome(self, run: Run) -> None:
        watch(run, self.stdout)
        self._say("\n" + leaderboard_table(leaderboard(run)) + "\n")

    def _say(self, text: str) -> None:
        """Write a line at once, also where stdout is a file."""
        self.stdout.write(text)
        self.stdout.flush()
