"""Shows the progress of a run in a terminal, and finds runs by number for commands."""

import time

from django.core.management.base import CommandError, OutputWrapper

from evaluations.choices import UNFINISHED
from evaluations.models import Run, Shard
from evaluations.progress import RunProgress, run_progress

LOOK_SECONDS = 0.5
LINE_SECONDS = 10.0  # between two lines where there is no terminal to draw a bar in
IDLE_SECONDS = 30.0
WIDTH = 30  # characters of the bar
IDLE = "Nothing works on this run. Start a worker: manage.py watchdog (or make serve)."


def run_numbered(number: int) -> Run:
    """Return the run with this id. Raises CommandError."""
    run: Run | None = Run.objects.filter(pk=number).first()
    if run is None:
        recent = ", ".join(str(pk) for pk in Run.objects.order_by("-pk").values_list("pk", flat=True)[:10])
        raise CommandError(f"There is no run {number}. The latest are: {recent or 'none yet'}.")
    return run


def watch(run: Run, stream: OutputWrapper) -> None:
    """Show the progress of `run` until it has ended: as a bar in a terminal, elsewhere as a line now and then.

    Says once how to start a worker where none has claimed the run for a while.
    """
    display = _Bar(stream) if stream.isatty() else _Lines(stream)
    try:
        _follow(run, display)
    finally:
        display.end()


def _follow(run: Run, display: "_Bar | _Lines") -> None:
    moved_at, done, told = time.monotonic(), -1, False
    while True:
        run.refresh_from_db()
        progress = run_progress(run)
        display.show(progress)
        if progress.status not in UNFINISHED:
            return
        if progress.done != done or _is_held(run):
            moved_at, done = time.monotonic(), progress.done
        elif not told and time.monotonic() - moved_at > IDLE_SECONDS:
            display.say(IDLE)
            told = True
        time.sleep(LOOK_SECONDS)


def is_claimed(run: Run) -> bool:
    """Return whether a worker has claimed a shard of the run."""
    run.refresh_from_db(fields=["started_at"])
    return run.started_at is not None


def _is_held(run: Run) -> bool:
    return Shard.objects.filter(job__run=run).held().exists()


def progress_line(progress: RunProgress) -> str:
    """Format the progress, such as `12 of 48 (25 %), 1 failed, 0:12 so far, about 0:36 left`."""
    share = progress.done / progress.total if progress.total else 1.0
    parts = [f"{progress.done} of {progress.total} ({share:.0%})"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.cancelled:
        parts.append(f"{progress.cancelled} cancelled")
    if progress.seconds_elapsed is not None:
        parts.append(f"{_clock(progress.seconds_elapsed)} so far")
    if progress.seconds_left is not None:
        parts.append(f"about {_clock(progress.seconds_left)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Bar:
    """Draws the progress as one line that is overwritten."""

    def __init__(self, stream: OutputWrapper) -> None:
        self.stream = stream

    def show(self, progress: RunProgress) -> None:
        share = progress.done / progress.total if progress.total else 1.0
        bar = ("#" * round(WIDTH * share)).ljust(WIDTH, "-")
        self._write(f"\r[{bar}] {progress_line(progress)}\x1b[K", "")  # \x1b[K: erase what was longer before

    def say(self, text: str) -> None:
        self._write(f"\r{text}\x1b[K", "\n")

    def end(self) -> None:
        self._write("", "\n")

    def _write(self, text: str, ending: str) -> None:
        self.stream.write(text, style_func=str, ending=ending)
        self.stream.flush()


class _Lines:
    """Writes a line at the start, one every LINE_SECONDS, and one at the end."""

    def __init__(self, stream: OutputWrapper) -> None:
        self.stream = stream
        self.said_at = -LINE_SECONDS
        self.line = self.said = ""

    def show(self, progress: RunProgress) -> None:
        self.line = progress_line(progress)
        if time.monotonic() - self.said_at >= LINE_SECONDS:
            self._say_line()

    def say(self, text: str) -> None:
        self.stream.write(text, style_func=str)
        self.stream.flush()

    def end(self) -> None:
        if self.line != self.said:
            self._say_line()

    def _say_line(self) -> None:
        self.say(self.line)
        self.said, self.said_at = self.line, time.monotonic()
