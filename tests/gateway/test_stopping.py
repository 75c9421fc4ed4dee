"""A web server that is told to stop: what is under way ends first, nothing new is taken, and the books are whole."""

import json
import signal
import socket
import threading
import time

import httpx
import pytest

from config.processes import DRAIN_SECONDS
from gateway.models import UsageRecord
from tests.audio import make_wav
from tests.gateway.live import live_site
from tests.waiting import wait_for

SPEECH = make_wav(0.5)


@pytest.fixture
def site(committed, tmp_path):
    with live_site(tmp_path) as live:
        yield live
    assert "Traceback" not in live.log.read_text()


class Asking(threading.Thread):
    """A call from a thread of its own."""

    def __init__(self, live, request_id, **fields):
        super().__init__()
        self.live, self.request_id = live, request_id
        self.fields = {"model": "studio/transcribe", **fields}
        self.answer = self.error = None
        self.start()

    def run(self):
        headers = {"Authorization": f"Bearer {self.live.key}", "X-Request-Id": self.request_id}
        url = f"{self.live.api}/audio/transcriptions"
        try:
            self.answer = httpx.post(url, data=self.fields, files={"file": SPEECH}, headers=headers, timeout=60)
        except httpx.HTTPError as error:
            self.error = error


def is_refused(place):
    try:
        socket.create_connection(place).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_is_under_way_ends_before_the_server_does_and_no_page_holds_it_up(site):
    """A page that is still under way, such as progress told for ever: here one whose request is never whole."""
    place = ("127.0.0.1", int(site.address.rpartition(":")[2]))
    site.studio.settings(text="still here", latency=1.5)
    with socket.create_connection(place) as waiting:
        waiting.sendall(b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        plain = Asking(site, "plain")
        streamed = Asking(site, "streamed", stream="true")
        wait_for(lambda: len(site.studio.calls) == 2)

        told_at = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(place))
        for asking in (plain, streamed):
            asking.join(60)
        assert site.process.wait(120) == -signal.SIGTERM

    assert time.monotonic() - told_at < DRAIN_SECONDS
    assert plain.answer.json()["text"] == "still here"
    assert streamed.answer.text.endswith("data: [DONE]\n\n")
    assert [record.result for record in site.records(2)] == ["success", "success"]


def test_a_worker_that_is_killed_in_the_middle_leaves_a_call_that_is_known_to_be_under_way(site):
    site.studio.fault("transcriptions", "hang")
    asking = Asking(site, "killed")
    wait_for(lambda: len(site.studio.calls) == 1)
    site.process.kill()
    asking.join(60)
    assert isinstance(asking.error, httpx.RemoteProtocolError | httpx.ReadError)
    record = UsageRecord.objects.get(workspace=site.workspace, request_id="killed")
    assert (record.state, json.dumps(record.result)) == ("reserved", '""')
