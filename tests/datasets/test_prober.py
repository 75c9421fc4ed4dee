"""Audio is decoded in processes of their own: what crashes or hangs there is refused, and nothing else suffers."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from core.child_process import ROOT
from datasets import probe_pool
from datasets.errors import InvalidAudio
from tests.audio import encode, make_wav
from tests.waiting import wait_for

CRASHES = "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)"
HANGS = "import time; input(); time.sleep(600)"

probe_safely = partial(probe_pool.probe_safely, workspace_id=1)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(make_wav())
    return path


@pytest.fixture
def pool():
    pool = probe_pool.ProberPool()
    yield pool
    pool.close()


@pytest.fixture
def program(monkeypatch, pool):
    """program(source): probe with this program instead of the real one."""

    def use(source, time_limit=probe_pool.PROBE_SECONDS):
        monkeypatch.setattr(probe_pool, "shared_pool", lambda: pool)
        monkeypatch.setattr(probe_pool.Prober.__init__, "__defaults__", ((sys.executable, "-c", source), time_limit))

    return use


def test_a_file_that_crashes_the_decoder_is_refused(program, wav):
    program(CRASHES)
    with pytest.raises(InvalidAudio, match="makes the decoder crash") as refusal:
        probe_safely(wav)
    assert refusal.value.code == "damaged"


def test_a_file_that_hangs_the_decoder_is_refused_after_the_time_limit(program, wav):
    program(HANGS, time_limit=0.3)
    with pytest.raises(InvalidAudio, match=r"within 0\.3 seconds") as refusal:
        probe_safely(wav)
    assert refusal.value.code == "too_slow"


def test_after_a_crash_the_next_file_is_probed(program, wav, monkeypatch):
    program(CRASHES)
    with pytest.raises(InvalidAudio):
        probe_safely(wav)
    monkeypatch.undo()
    assert probe_safely(wav).duration == 1.0


def test_a_decoder_that_was_killed_from_outside_costs_no_file(pool, wav, monkeypatch):
    monkeypatch.setattr(probe_pool, "shared_pool", lambda: pool)
    for _ in range(3):
        probe_safely(wav)
        idle = [one for one in pool.idle.queue if one is not None]
        for one in idle:
            os.kill(one.child.process.pid, signal.SIGKILL)
            one.child.process.wait()
    assert probe_safely(wav).duration == 1.0


def test_many_files_at_once_are_all_probed(wav, tmp_path):
    other = tmp_path / "b"
    other.write_bytes(encode("flac", 2))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(probe_safely, [wav, other] * 20))
    assert {probe.duration for probe in found} == {1.0, 2.0}


def test_the_decoder_ends_with_the_process_that_started_it(wav):
    script = (
        "import subprocess, sys, time\n"
        "from core.child_process import ROOT\n"
        "from datasets.probe_pool import COMMAND\n"
        "child = subprocess.Popen(COMMAND, cwd=ROOT, stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not is_alive(child))


def test_the_decoder_sees_no_secret():
    script = "import os, json; input(); print(json.dumps(sorted(os.environ)))"
    one = probe_pool.Prober([sys.executable, "-c", script])
    try:
        names = one.ask(Path("a"), 1)
    finally:
        one.close()
    assert not {name for name in names if "KEY" in name or "DATABASE" in name or "PASSWORD" in name}


def is_alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
