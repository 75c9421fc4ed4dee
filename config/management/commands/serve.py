"""Serves the whole site on one machine: web server, worker and watchdog."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.processes import ProcessGroup, answers, port_is_free, uvicorn
from core.processes import interruptible, manage


class Command(BaseCommand):
    help = "Serves the site: the web server, and a worker under its watchdog. Ctrl-C stops them all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen at (%(default)s).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen at (%(default)s).")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if not port_is_free(host, port):
            raise CommandError(f"Port {port} is in use. Choose another one: make serve PORT={port + 1}")
        site = ProcessGroup()
        with interruptible():
            try:
                site.start("worker's watchdog", manage("watchdog"))
                site.start("web server", uvicorn(host, port))
                if not answers(host, port):
                    raise CommandError("The web server does not start; see above.")
                self.stdout.write(f"Serving http://{host}:{port}/admin/ (Ctrl-C stops it)")
                self.stdout.flush()  # it may be a file
                site.keep_alive()
            finally:
                site.stop()
        self.stdout.write("Stopped.")
