"""The site's processes: served together, kept alive, stopped together."""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.waiting import wait_for

pytestmark = pytest.mark.slow

QUICK = {"SWEEP_SECONDS": "1", "SHARD_LEASE_SECONDS": "3"}


@pytest.fixture
def served(site):
    process = site.start("serve", "--port", str(site.port))
    wait_for(lambda: is_alive(site))
    wait_for(lambda: works(site))
    return process


def is_alive(site):
    try:
        return httpx.get(f"http://127.0.0.1:{site.port}/healthz").text == "ok\n"
    except httpx.HTTPError:
        return False


def works(site):
    """A worker has swept."""
    return site.rows("SELECT * FROM evaluations_timer")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_stops_every_process(site, served, how):
    assert len(site.processes()) >= 7  # serve, web server, watchdog; cluster, its guard, workers, pusher, monitor

    served.send_signal(how)

    assert served.wait(120) == 0
    assert site.processes() == {}


def test_nothing_outlives_a_serve_that_is_killed(site, served):
    served.kill()
    served.wait()

    wait_for(lambda: site.processes() == {})


def test_a_web_server_that_dies_is_started_again(site, served):
    [web] = site.processes_of("uvicorn")

    os.kill(web, signal.SIGKILL)

    wait_for(lambda: site.processes_of("uvicorn") not in ([], [web]))
    wait_for(lambda: is_alive(site))


def test_the_web_server_keeps_no_connection_of_requests_that_are_over(site, served):
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}") as client:
        before = connections(site)
        for _ in range(40):
            assert client.get("/readyz").status_code == 200

    assert connections(site) <= before + 5


def connections(site):
    """Of the web server to the database."""
    [web] = site.processes_of("uvicorn")
    count = 0
    for file in Path(f"/proc/{web}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            name = str(file.readlink())
            count += name.startswith(("socket:", site.database_url.removeprefix("sqlite:///")))
    return count


def test_serve_refuses_a_port_in_use_and_names_another(site):
    with socket.create_server(("127.0.0.1", site.port)):
        outcome = site.manage("serve", "--port", str(site.port))

    assert outcome.returncode == 1
    assert f"Port {site.port} is in use" in outcome.stderr
    assert f"PORT={site.port + 1}" in outcome.stderr


def test_a_cluster_that_is_killed_is_started_again_without_its_orphans(site):
    site.start("watchdog", **QUICK)
    wait_for(lambda: works(site))
    before = site.processes_of("manage.py qcluster")

    os.kill(before[0], signal.SIGKILL)

    wait_for(lambda: site.processes_of("manage.py qcluster"))
    wait_for(lambda: not set(before) & set(site.processes()))
    wait_for_sweeps(site)


def test_a_cluster_that_stalls_is_started_again(site):
    """Its one worker stands still; to its guard it is alive."""
    site.start("watchdog", "--stall-seconds", "10", Q_WORKERS="1", SWEEP_SECONDS="5", SHARD_LEASE_SECONDS="3")
    wait_for(lambda: works(site) and nothing_but_the_next_sweep_is_queued(site))
    cluster = of_a_whole_cluster(site)

    os.kill(cluster[2], signal.SIGSTOP)  # parent, guard, worker: in the order in which they were started

    wait_for(lambda: "The worker stalled" in site.log.read_text())
    wait_for_sweeps(site)


def test_a_healthy_idle_cluster_is_left_alone(site):
    watchdog = site.start("watchdog", "--stall-seconds", "15", **QUICK)
    wait_for(lambda: works(site))
    before = wait_for(lambda: of_a_whole_cluster(site))

    for _ in range(6):  # longer than it may stall
        wait_for_sweeps(site)

    assert site.processes_of("manage.py qcluster") == before
    watchdog.terminate()
    assert watchdog.wait(120) == 0
    assert "starting it again" not in site.log.read_text()


def nothing_but_the_next_sweep_is_queued(site):
    return site.rows("SELECT count(*) FROM django_q_ormq") == [(1,)]


def of_a_whole_cluster(site):
    found = site.processes_of("manage.py qcluster")
    return found if len(found) >= 5 else None


def wait_for_sweeps(site):
    """Until a worker has swept three times more."""
    for _ in range(3):
        before = works(site)
        wait_for(lambda before=before: works(site) != before)
