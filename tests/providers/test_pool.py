"""The pool of engine processes, with an engine that misbehaves on request."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from providers.adapters.base import ProviderError
from providers.engines.pool import EnginePool
from providers.engines.process import EngineSpec
from providers.engines.slots import Slots
from providers.reasons import Reason
from tests.waiting import async_wait_for, wait_for

SPEC = EngineSpec.of("tests.servers.bad_engine", {})
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def make_pool(tmp_path):
    made = []

    def make(slots):
        made.append(EnginePool(Slots(slots, tmp_path / "slots")))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def ask(pool, do, *, time_limit=60, spec=SPEC, **request):
    return pool.ask(spec, nullcontext({"do": do, **request}), time_limit=time_limit)


def answer(pool, do, **request):
    header, _ = asyncio.run(ask(pool, do, **request))
    return header


def reason(pool, do, **request):
    with pytest.raises(ProviderError) as failure:
        answer(pool, do, **request)
    return failure.value.reason


def status_of(process):
    """[state, parent, ...] of a process; none where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(process):
    return status_of(process)[:1] not in ([], ["Z"])


def test_an_idle_engine_is_used_again(make_pool):
    pool = make_pool(1)
    assert answer(pool, "answer")["process"] == answer(pool, "answer")["process"]


def test_a_crash_fails_its_own_request_and_the_next_gets_a_new_engine(make_pool):
    pool = make_pool(1)
    before = answer(pool, "answer")["process"]
    assert reason(pool, "crash") == Reason.ENGINE_CRASHED
    assert answer(pool, "answer")["process"] != before


def test_an_unforeseen_error_ends_the_engine_and_no_other(make_pool):
    pool = make_pool(1)
    assert reason(pool, "raise") == Reason.ENGINE_CRASHED
    assert answer(pool, "answer")["process"]


def test_a_refusal_leaves_the_engine_as_it_was(make_pool):
    pool = make_pool(1)
    before = answer(pool, "answer")["process"]
    assert reason(pool, "refuse") == Reason.AUDIO_UNREADABLE
    assert answer(pool, "answer")["process"] == before


def test_a_hanging_engine_is_killed_at_the_time_limit(make_pool, tmp_path):
    pool = make_pool(1)
    answer(pool, "answer")  # loaded
    assert reason(pool, "hang", time_limit=2, log=str(tmp_path / "pid")) == Reason.TIMEOUT
    assert not is_alive((tmp_path / "pid").read_text())
    assert answer(pool, "answer")["process"]


def test_waiting_for_a_slot_is_not_in_the_time_limit(make_pool, tmp_path):
    pool = make_pool(1)
    answer(pool, "answer")  # loaded
    with (tmp_path / "slots" / "0").open() as slot:
        fcntl.flock(slot, fcntl.LOCK_EX)
        release = threading.Timer(6, fcntl.flock, (slot, fcntl.LOCK_UN))
        release.start()
        assert answer(pool, "answer", time_limit=5)["process"]
        release.join()


def test_a_cancelled_request_kills_its_engine(make_pool, tmp_path):
    pool, log = make_pool(1), tmp_path / "pid"

    async def cancel():
        call = asyncio.create_task(ask(pool, "hang", log=str(log)))
        await async_wait_for(lambda: log.exists() and log.read_text())
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel())
    wait_for(lambda: not is_alive(log.read_text()))
    assert answer(pool, "answer")["process"]


def test_a_request_cancelled_while_it_waits_does_not_take_its_turn(make_pool, tmp_path):
    pool, log = make_pool(1), tmp_path / "log"

    async def cancel():
        calls = [asyncio.create_task(ask(pool, "work", log=str(log), seconds=1)) for _ in range(3)]
        await async_wait_for(log.exists)
        calls[1].cancel()
        calls[2].cancel()
        await asyncio.wait(calls)

    asyncio.run(cancel())
    answer(pool, "answer")
    assert log.read_text().split() == ["begin", "end"]


def test_several_requests_at_once_use_several_processes(make_pool, tmp_path):
    async def several():
        calls = [ask(pool, "work", log=str(tmp_path / "log"), seconds=0.5) for _ in range(6)]
        return {header["process"] for header, _ in await asyncio.gather(*calls)}

    pool = make_pool(3)
    assert len(asyncio.run(several())) == 3


def test_each_request_gets_its_own_answer(make_pool):
    async def many():
        calls = [ask(pool, "answer", echo=number) for number in range(50)]
        return [header["echo"] for header, _ in await asyncio.gather(*calls)]

    pool = make_pool(2)
    assert asyncio.run(many()) == list(range(50))


def test_event_loops_in_several_threads_share_a_pool(make_pool):
    pool, answers = make_pool(2), []
    threads = [
        threading.Thread(target=lambda: answers.extend(answer(pool, "answer", echo=n)["echo"] for n in range(5)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([*range(5)] * 4)


def test_what_a_library_prints_does_not_disturb_the_answers(make_pool):
    pool = make_pool(1)
    assert answer(pool, "chatter", echo="clear")["echo"] == "clear"
    assert answer(pool, "answer", echo="still clear")["echo"] == "still clear"


def test_an_engine_knows_none_of_the_sites_secrets(make_pool, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    assert not {"SECRET_KEY", "DATABASE_URL"} & set(answer(make_pool(1), "environment")["names"])


def test_an_engine_that_nobody_asks_ends_by_itself(make_pool):
    pool = make_pool(1)
    process = answer(pool, "answer", spec=EngineSpec.of("tests.servers.bad_engine", {"idle_seconds": 0.2}))["process"]
    wait_for(lambda: not is_alive(process))


def test_a_single_use_engine_is_gone_after_its_request(make_pool):
    pool = make_pool(1)
    once = EngineSpec.of("tests.servers.bad_engine", {}, reusable=False)
    assert not is_alive(answer(pool, "answer", spec=once)["process"])


def test_the_request_is_left_whatever_becomes_of_it(make_pool):
    left = []

    @contextmanager
    def stored(do):
        try:
            yield {"do": do}
        finally:
            left.append(do)

    pool = make_pool(1)
    asyncio.run(pool.ask(SPEC, stored("answer"), time_limit=60))
    with pytest.raises(ProviderError):
        asyncio.run(pool.ask(SPEC, stored("crash"), time_limit=60))
    assert left == ["answer", "crash"]


def start_user(folder, *requests):
    command = [sys.executable, "-m", "tests.servers.pool_user", str(folder), *map(json.dumps, requests)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


def test_two_processes_share_the_slots(tmp_path):
    log = tmp_path / "log"
    work = {"do": "work", "log": str(log), "seconds": 0.3}
    users = [start_user(tmp_path / "slots", work, work) for _ in range(2)]
    for user in users:
        user.communicate(timeout=60)
    assert log.read_text().split() == ["begin", "end"] * 4


def test_killing_the_site_leaves_no_engine_and_frees_its_slot(tmp_path):
    log = tmp_path / "log"
    user = start_user(tmp_path / "slots", {"do": "work", "log": str(log), "seconds": 1}, {"do": "answer"})
    wait_for(log.exists)
    engines = children(user.pid)
    user.send_signal(signal.SIGKILL)
    user.communicate(timeout=60)
    assert engines
    wait_for(lambda: not any(map(is_alive, engines)))
    after = start_user(tmp_path / "slots", {"do": "answer"})
    assert json.loads(after.communicate(timeout=60)[0])[0]["process"]


def children(process):
    return [found.name for found in Path("/proc").glob("[0-9]*") if status_of(found.name)[1:2] == [str(process)]]


def test_a_forked_process_has_engines_of_its_own():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "tests.servers.forking_site"]
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60).stdout
    before, in_child, after = output.split()
    assert before == after != in_child
