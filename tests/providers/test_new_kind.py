"""The documentation's example of a provider kind does what it says: one file and one line."""

import importlib.util
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from accounts.models import Role
from datasets.models import Dataset
from datasets.services import add_audio_sample
from evaluations.models import Result
from evaluations.services import start_run
from providers.models import Provider, SpeechModel
from providers.registry import KINDS, close_adapters
from tests.datasets.uploads import wav_file
from tests.evaluations.delivery import deliver_all

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "contributing.md"
KEY = "parrot-key"


def section():
    return PAGE.read_text().partition("## Adding a provider kind\n")[2].partition("\n## ")[0]


class Parrot(BaseHTTPRequestHandler):
    """The server that the example is for: it answers with the model's name and the audio's size."""

    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["content-length"])))
        right = self.headers["authorization"] == f"Bearer {KEY}" and self.path == "/v1/listen?model=parrot-1"
        body = json.dumps({"text": f"{size} bytes of {self.headers['content-type']}"}).encode()
        self.send_response(200 if right else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def parrot():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def kind(tmp_path, monkeypatch, settings):
    """One new file, with the documentation's code, and one line in the registry."""
    settings.ALLOW_PRIVATE_ADDRESSES = True  # the server is on loopback
    file = tmp_path / "parrot.py"
    file.write_text(re.search(r"```python\n(.+?)```", section(), re.DOTALL)[1])
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("parrot", file))
    module.__spec__.loader.exec_module(module)
    monkeypatch.setitem(KINDS, module.ParrotAdapter.kind, module.ParrotAdapter)
    yield module.ParrotAdapter.kind
    close_adapters()


@pytest.fixture
def owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


def add(owner, kind, address, **changes):
    fields = {"kind": kind, "name": "mine", "base_url": address, "credential": KEY, "max_concurrency": 2}
    return owner.post("/admin/providers/provider/add/", {**fields, "is_active": "on", **changes})


def test_the_section_is_short():
    assert len(section().splitlines()) < 60


def test_a_new_kind_has_its_form_with_its_own_words(owner, kind):
    assert "A Parrot server of your own." in owner.get("/admin/providers/provider/add/").content.decode()
    form = owner.get(f"/admin/providers/provider/add/?kind={kind}").content.decode()
    assert "From the page “Keys” of the server." in form
    assert 'name="base_url"' in form
    refused = add(owner, kind, "", credential="")
    assert refused.status_code == 200
    assert not Provider.objects.exists()


def test_a_new_kind_is_added_and_tried_and_a_sample_goes_through_it(owner, kind, parrot, workspace):
    assert add(owner, kind, parrot).status_code == 302
    provider = Provider.objects.get()
    tested = owner.post(f"/admin/providers/provider/{provider.pk}/test/").content.decode()
    assert "It works." in tested
    dataset = Dataset.objects.create(workspace=workspace, name="spoken")
    add_audio_sample(dataset=dataset, file=wav_file(), filename="hello.wav", reference="hello")
    start_run(dataset=dataset, models=[SpeechModel.objects.get()])
    deliver_all()
    result = Result.objects.get()
    assert (result.status, result.hypothesis) == ("completed", "32044 bytes of audio/wav")


def test_what_a_new_kind_cannot_do_is_refused_when_a_model_is_entered(owner, kind, parrot):
    add(owner, kind, parrot)
    fields = {"provider": Provider.objects.get().pk, "name": "voice", "upstream_name": "voice", "text_to_speech": "on"}
    fields |= {"languages": "[]", "options": "{}", "prices-TOTAL_FORMS": 0, "prices-INITIAL_FORMS": 0}
    page = owner.post("/admin/providers/speechmodel/add/", {**fields, "supports_direct": "on"}).content.decode()
    assert "Providers of the kind Parrot do not do text to speech." in page
    assert SpeechModel.objects.count() == 1
