"""`manage.py evaluate` and `export_run`, as people and pipelines run them."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from accounts.models import Organization, Workspace
from evaluations import cli_progress
from evaluations.cli_progress import progress_line, watch
from evaluations.models import Run
from evaluations.progress import run_progress
from tests.evaluations.cluster import ROOT, environment
from tests.evaluations.delivery import deliver_all
from tests.evaluations.factories import complete, fail, make_run
from tests.scripted.data import make_dataset, make_model, sha
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


def refusal(*arguments):
    with pytest.raises(CommandError) as refused:
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    return str(refused.value)


# --- Waiting ------------------------------------------------------------------------------------


@pytest.fixture
def work_is_done(monkeypatch):
    """Between two looks at the run, the queue is delivered."""
    monkeypatch.setattr(cli_progress, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: deliver_all()))


def outcome(*arguments):
    """(exit code, stdout, stderr) of `evaluate` in this process, without a worker."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("evaluate", *arguments, "--wait", "--worker", "never", stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
    return 0, out.getvalue(), err.getvalue()


def test_waiting_prints_the_leaderboard(workspace, work_is_done):
    make_dataset(workspace, samples=4, name="spoken")
    make_model(workspace, "good", text="heard")
    code, out, err = outcome("spoken", "--model", "scripted/good", "--max-wer", "0.1")
    assert (code, out.splitlines()[0].split()[:3]) == (0, ["Model", "WER", "CER"])
    assert out.splitlines()[2].split()[:2] == ["scripted/good", "0.00"]
    assert "4 of 4 (100%)" in err
    assert "\x1b" not in err


def test_a_rate_that_is_too_high_and_a_failure_end_with_1(workspace, work_is_done):
    make_dataset(workspace, samples=4, name="spoken")
    make_model(workspace, "good", text="heard")
    make_model(workspace, "bad", text="herd", refuse=[sha(1)])
    models = ["--model", "scripted/good", "--model", "scripted/bad"]
    code, out, err = outcome("spoken", *models, "--max-wer", "0.5")
    assert code == 1
    assert "1 results are not completed (0 allowed)." in err
    assert "scripted/bad has a WER of 100.00%: more than 50.00%." in err
    assert "scripted/good has" not in err
    assert "scripted/bad" in out


def test_failures_may_be_allowed(workspace, work_is_done):
    make_dataset(workspace, samples=4, name="spoken")
    make_model(workspace, "shaky", refuse=[sha(1)])
    assert outcome("spoken", "--model", "scripted/shaky", "--allow-failures", "1")[0] == 0


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_worker_is_started_where_none_runs_and_ctrl_c_ends_the_waiting_and_not_the_run(workspace):
    make_dataset(workspace, samples=4, name="spoken")
    make_model(workspace, "slow", hang=[sha(1)])
    command = [sys.executable, "manage.py", "evaluate", "spoken", "--model", "scripted/slow", "--wait"]
    with terminal() as (screen, shown):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=screen
        )
        wait_for(lambda: "3 of 4 (75%)" in shown())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 130
        wait_for(lambda: "goes on wherever a worker runs" in shown())
        assert "No worker takes it up: one is started" in shown()
        assert "[######################--------] 3 of 4 (75%)" in shown()
        assert Run.objects.get().status == "running"


@contextmanager
def terminal():
    """Yields a terminal for a process to write to, and what tells all that it has shown."""
    reader, screen = pty.openpty()
    shown = bytearray()

    def read():
        with suppress(OSError):  # what Linux says at a terminal's end
            while chunk := os.read(reader, 65536):
                shown.extend(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield screen, shown.decode
    finally:
        os.close(screen)
        thread.join()
        os.close(reader)


# --- Without waiting ----------------------------------------------------------------------------


def test_without_waiting_it_prints_the_number_of_the_run(workspace):
    make_dataset(workspace, name="spoken")
    make_model(workspace, "good")
    out = io.StringIO()
    call_command(
        "evaluate", "spoken", "--model", "scripted/good", "--name", "Nightly", stdout=out, stderr=io.StringIO()
    )
    run = Run.objects.get()
    assert out.getvalue() == f"{run.pk}\n"
    assert (run.name, run.status, run.normalizer) == ("Nightly", "pending", "basic")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--model", "scripted/a"], "There is no dataset 'nothing' in workspace speech. There are: spoken."),
        (["spoken", "--model", "a"], "There is no model 'a' in workspace speech. There are: scripted/a, scripted/b."),
        (["spoken", "--model", "scripted/a", "--normalizer", "x"], "There is no normaliser 'x'. Known: basic, raw."),
        (["spoken", "--model", "scripted/a", "--workspace", "x"], "There is no workspace 'x'. There are: speech."),
        (["spoken", "--model", "scripted/a", "--max-wer", "0.2"], "--max-wer needs --wait"),
        (["spoken", "--model", "scripted/a", "--allow-failures", "2"], "--allow-failures needs --wait"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_there_is(workspace, arguments, message):
    make_dataset(workspace, name="spoken")
    for name in ("b", "a"):
        make_model(workspace, name)
    assert message in refusal("evaluate", *arguments)
    assert Run.objects.count() == 0


def test_another_workspaces_datasets_and_models_are_not_listed(workspace, other_workspace):
    make_dataset(other_workspace, name="secret")
    message = refusal("evaluate", "secret", "--model", "x/y", "--workspace", "speech")
    assert message == "There is no dataset 'secret' in workspace speech. There are: none yet."


def test_without_a_workspace_it_says_how_to_make_one(db):
    assert refusal("evaluate", "x", "--model", "y/z") == "There is no workspace yet. Run manage.py setup."


def test_the_first_workspace_by_name_is_meant_unless_said(workspace):
    Workspace.objects.create(organization=Organization.objects.create(name="A"), name="Aaa", slug="aaa")
    assert "in workspace aaa" in refusal("evaluate", "x", "--model", "y/z")


# --- Progress -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_that_ends_with_the_run(workspace):
    run = make_run(workspace, samples=4, models=1)
    fail(run.results.first())
    complete(run)
    terminal = Terminal()
    watch(run, OutputWrapper(terminal))
    assert terminal.getvalue().startswith(f"\r[{'#' * 30}] 4 of 4 (100%), 1 failed")
    assert terminal.getvalue().endswith("\n")


def test_a_file_gets_plain_lines(workspace):
    run = make_run(workspace, models=1)
    complete(run)
    file = io.StringIO()
    watch(run, OutputWrapper(file))
    assert file.getvalue().splitlines() == [progress_line(run_progress(run))]


def test_nobody_working_is_pointed_out_once(workspace, monkeypatch):
    run = make_run(workspace, models=1)
    monkeypatch.setattr(cli_progress, "IDLE_SECONDS", 0)
    looks = iter(range(5))
    monkeypatch.setattr(cli_progress.time, "sleep", lambda seconds: complete(run) if next(looks) == 4 else None)
    file = io.StringIO()
    watch(run, OutputWrapper(file))
    assert file.getvalue().count("Start a worker") == 1


@pytest.mark.parametrize(
    ("done", "elapsed", "text"),
    [
        (0, None, "0 of 8 (0%)"),
        (2, 10, "2 of 8 (25%), 0:10 so far, about 0:30 left"),
        (8, 3725, "8 of 8 (100%), 1:02:05 so far"),
    ],
)
def test_a_line_says_how_far_and_how_long(workspace, done, elapsed, text):
    run = make_run(workspace, samples=8, models=1)
    progress = run_progress(run)
    left = elapsed * (8 - done) / done if elapsed and done < 8 else None
    counts = {"completed": done, "pending": 8 - done, "seconds_elapsed": elapsed, "seconds_left": left}
    assert progress_line(type(progress)(**{**vars(progress), **counts})) == text


# --- export_run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_run_is_exported_to_stdout(workspace, file_format):
    run = make_run(workspace, samples=2, models=2)
    complete(run)
    out = io.StringIO()
    call_command("export_run", str(run.pk), "--file-format", file_format, stdout=out)
    text = out.getvalue().removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text))) if file_format == "csv" else [*map(json.loads, text.splitlines())]
    assert [row["key"] for row in rows] == ["clip-0000.wav", "clip-0001.wav"] * 2
    assert all(float(row["wer"]) == 0 for row in rows)


def test_an_unknown_run_is_refused_with_the_latest(workspace):
    assert refusal("export_run", "5") == "There is no run 5. The latest are: none yet."
    run = make_run(workspace)
    assert refusal("export_run", str(run.pk + 1)).endswith(f"The latest are: {run.pk}.")
