"""Children answer in time and in order, or are killed; and none outlives whoever asked it."""

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from core.child_process import ROOT, ChildProcess
from tests.waiting import wait_for


@pytest.fixture
def start():
    """start(source) -> a child that runs it."""
    started = []

    def start(source):
        started.append(ChildProcess([sys.executable, "-c", source]))
        return started[-1]

    yield start
    for child in started:
        child.close()


def line(answers):
    read = answers.readline()
    if not read.endswith(b"\n"):
        raise EOFError
    return read


def is_alive(process):
    return psutil.pid_exists(process.pid) and psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE


ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def test_a_child_answers_one_request_after_another(start):
    child = start(ECHO)
    assert [child.ask(word, line, 60) for word in (b"one\n", b"two\n")] == [b"one\n", b"two\n"]


def test_a_child_that_does_not_answer_in_time_is_killed(start):
    child = start("import time; input(); time.sleep(1000)")
    with pytest.raises(TimeoutError):
        child.ask(b"\n", line, 0.2)
    wait_for(lambda: not is_alive(child.process))


def test_the_time_limit_is_that_of_the_whole_answer(start):
    child = start("import time\nwhile True: print('.', end='', flush=True); time.sleep(0.05)")
    with pytest.raises(TimeoutError):
        child.ask(b"\n", line, 1)


@pytest.mark.parametrize("source", ["raise SystemExit", "input(); print('half', end='', flush=True)"])
def test_a_child_that_dies_breaks_its_answer_off(start, source):
    with pytest.raises(EOFError):
        start(source).ask(b"\n" * 10_000_000, line, 60)


def test_a_child_that_is_killed_from_another_thread_breaks_its_answer_off(start):
    child = start("import time; input(); time.sleep(1000)")
    threading.Timer(0.2, child.kill).start()
    with pytest.raises(EOFError):
        child.ask(b"\n", line, 60)


def test_a_child_that_hangs_ends_by_itself_where_nobody_is_left_to_end_it():
    script = (
        "from core.child_process import ChildProcess\nimport sys\n"
        "hangs = 'from core.child_process import ends_within\\nimport time\\nwith ends_within(1): time.sleep(1000)'\n"
        "print(ChildProcess([sys.executable, '-c', hangs]).process.pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_child_knows_none_of_the_sites_secrets(start, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    names = start("import os; input(); print(' '.join(os.environ))").ask(b"\n", line, 60).decode().split()
    assert "PATH" in names
    assert not {"SECRET_KEY", "DATABASE_URL"} & set(names)


def test_a_child_that_cannot_be_started_leaves_no_descriptor_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(OSError, match="nowhere"):
            ChildProcess(["/nowhere/to/be/found"])
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
