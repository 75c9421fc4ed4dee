"""Progress of a run as server-sent events, from the site as it is served."""

import asyncio
import json
import threading

import httpx
import pytest
from django.db import connection

from accounts.api_keys import access_of_key
from accounts.services import create_api_key, revoke_api_key
from evaluations.api import events as event_stream
from evaluations.services import delete_run
from tests.evaluations.factories import complete, fail, make_run
from tests.waiting import beside, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(live):
    return live.workspace


@pytest.fixture(scope="module")
def site(live):
    """A client of the served site, with an evaluator's key."""
    with httpx.Client(base_url=live.address, headers={"Authorization": f"Bearer {live.key}"}, timeout=120) as client:
        yield client


def events(response):
    """(name, data) of each event, as they come."""
    name = None
    for line in response.iter_lines():
        kind, _, value = line.partition(": ")
        if kind == "event":
            name = value
        elif kind == "data":
            yield name, json.loads(value)


def test_progress_comes_as_it_is_made_and_ends_with_the_run(site, workspace):
    run = make_run(workspace, samples=3, models=1)
    with site.stream("GET", f"/api/v1/runs/{run.pk}/events/", headers={"Accept": "text/event-stream"}) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        coming = events(response)
        name, data = next(coming)
        assert (name, data["status"], data["pending"], data["completed"]) == ("progress", "pending", 3, 0)
        fail(run.results.first())
        name, data = next(coming)
        assert (name, data["pending"], data["failed"]) == ("progress", 2, 1)
        assert data["jobs"][0]["failures_by_reason"] == {"timeout": 1}
        complete(run)
        *middle, (name, data) = coming
        assert (name, data) == ("end", {"status": "completed_with_failures"})
        assert middle[-1][1]["completed"] == 2


def test_the_events_of_a_run_that_is_over_end_at_once(site, workspace):
    run = make_run(workspace, models=1)
    complete(run)
    with site.stream("GET", f"/api/v1/runs/{run.pk}/events/") as response:
        assert [name for name, _ in events(response)] == ["progress", "end"]


def test_a_run_that_is_deleted_ends_its_events(site, workspace):
    run = make_run(workspace, models=1)
    with site.stream("GET", f"/api/v1/runs/{run.pk}/events/") as response:
        coming = events(response)
        next(coming)
        site.post(f"/api/v1/runs/{run.pk}/cancel/")
        delete_run(run=run)
        assert list(coming)[-1][0] == "end"


def test_many_who_watch_hold_nobody_up(site, workspace):
    """More watchers than a pool has threads, and an ordinary request is answered all the same."""
    run = make_run(workspace, models=1)
    watching, leave = [], threading.Event()

    def watch():
        with site.stream("GET", f"/api/v1/runs/{run.pk}/events/") as response:
            next(events(response))
            watching.append(1)
            leave.wait(120)

    threads = [threading.Thread(target=watch) for _ in range(50)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(watching) == 50)
        assert site.get("/api/v1/runs/").status_code == 200
        if connection.vendor == "postgresql":
            assert connections_to_the_database() < 40
    finally:
        leave.set()
        for thread in threads:
            thread.join()


def connections_to_the_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_an_export_comes_whole_from_the_served_site(site, workspace):
    run = make_run(workspace, samples=2500, models=1)
    with site.stream("GET", f"/api/v1/runs/{run.pk}/export/", params={"file_format": "jsonl"}) as response:
        assert sum(1 for _ in response.iter_lines()) == 2500


def test_a_stream_ends_with_the_access_of_who_watches_it(workspace, monkeypatch):
    monkeypatch.setattr(event_stream, "ACCESS_SECONDS", 0.0)
    monkeypatch.setattr(event_stream, "LOOK_SECONDS", 0.01)
    api_key, secret = create_api_key(workspace=workspace, name="watcher")
    stream = event_stream.progress_events(make_run(workspace).pk, access_of_key(secret))

    async def watch():
        first = await anext(stream)
        await beside(lambda: revoke_api_key(api_key=api_key))
        return first, [event async for event in stream]

    first, rest = asyncio.run(watch())
    assert first.startswith(b"event: progress")
    assert b"event: end" not in b"".join(rest)
