"""Nothing that people say, send or are told is written anywhere: the whole output of a site at the level DEBUG, its
database and its temporary folder are searched for words that went through it."""

import json
from contextlib import suppress

import httpx
import pytest
from django.apps import apps
from django.db import connection

from accounts.models import Workspace
from gateway.models import UsageRecord
from tests.audio import make_wav
from tests.evaluations.gemini import make_gemini
from tests.gateway.live import UPSTREAM_KEY, live_site
from tests.servers.gemini import API_KEY, GeminiServer, sha256_of
from tests.waiting import wait_for

CANARIES = {
    "transcript": "wombatword",
    "translation": "numbatword",
    "spoken text": "quokkaword",
    "instructions": "bilbyword",
    "prompt": "dingoword",
    "file name": "potorooword",
    "audio": "cassowaryword",
    "query": "kookaburraword",
    "wrong key": "echidnaword",
    "header": "platypusword",
}


@pytest.fixture(scope="module")
def site(committed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    (folder / "tmp").mkdir()
    with live_site(
        folder,
        LOG_LEVEL="DEBUG",
        TMPDIR=str(folder / "tmp"),
        PYTHONASYNCIODEBUG="1",
        PYTHONWARNINGS="default",
        OPENAI_LOG="debug",
    ) as site:
        site.studio.settings(text=f"they say {CANARIES['transcript']}", translation=CANARIES["translation"])
        yield site


@pytest.fixture(scope="module")
def answers(site):
    """What every kind of request was answered, errors included, after all of them were made."""
    with httpx.Client(base_url=site.api, timeout=60, params={"token": CANARIES["query"]}) as client:
        client.headers["Authorization"] = f"Bearer {site.key}"
        client.headers["X-Custom"] = CANARIES["header"]
        made = [*successes(client), *wrong_requests(client)]
        made += pages(client, site.address)
        made += of_gemini(client, site)
        made += [answer for fault in FAULTS for answer in failures(client, site, fault)]
        site.let_calls_through()
        leave_in_the_middle(client, site.studio)
        wait_until_all_is_settled()
        made += crash(client, "gateway_usagerecord")
        client.headers["Authorization"] = f"Bearer {stranger(site)}"  # whose models nobody has asked for
        made += crash(client, "providers_speechmodel")
    wait_until_all_is_settled()
    return made


def wait_until_all_is_settled():
    wait_for(lambda: not UsageRecord.objects.filter(state="reserved").exists())


def transcribe(client, path="/audio/transcriptions", audio=None, **fields):
    chunk = CANARIES["audio"].encode() * 8
    audio = audio or make_wav(1.0) + b"LIST" + len(chunk).to_bytes(4, "little") + chunk
    files = {"file": (f"{CANARIES['file name']}.wav", audio)}
    return client.post(path, files=files, data={"model": "studio/whisper", "prompt": CANARIES["prompt"], **fields})


def speak(client, **fields):
    wish = {"model": "studio/voice", "voice": "alloy", "input": f"Say {CANARIES['spoken text']}."}
    return client.post("/audio/speech", json={**wish, "instructions": CANARIES["instructions"], **fields})


def successes(client):
    made = [
        *(transcribe(client, response_format=format) for format in ("json", "text", "srt", "verbose_json")),
        transcribe(client, model="studio/transcribe", stream="true"),
        transcribe(client, model="local/pocketsphinx"),
        transcribe(client, "/audio/translations"),
        transcribe(client, audio=make_wav(60.0)),  # so large that it goes to disk
        speak(client),
        speak(client, stream_format="sse"),
        speak(client, model="local/espeak-ng", voice="en-us", response_format="opus"),
        client.get("/models"),
    ]
    assert [answer.status_code for answer in made] == [200] * len(made)
    return made


def wrong_requests(client):
    said = CANARIES["spoken text"].encode()
    form = {"Content-Type": "multipart/form-data; boundary=here"}
    return [
        transcribe(client, audio=CANARIES["audio"].encode() * 100),
        transcribe(client, audio=make_wav(1.0), temperature=CANARIES["prompt"]),
        client.post("/audio/transcriptions", content=b"--there\r\n" + said, headers=form),
        client.post("/audio/transcriptions", content=b"--here\r\n" + said + b": \r\n\r\n", headers=form),
        speak(client, speed=CANARIES["spoken text"]),
        speak(client, input=CANARIES["spoken text"] * 1000),
        client.post("/audio/speech", content=b'{"input": "' + said),
        client.post(f"/audio/{CANARIES['query']}"),
        client.get("/models", headers={"Authorization": f"Bearer {CANARIES['wrong key']}"}),
        client.get("/models", headers={"Authorization": f"Basic {CANARIES['wrong key']}"}),
    ]


def pages(client, address):
    """The site's other pages: they tell much at the level DEBUG."""
    form = {"username": "somebody", "password": CANARIES["wrong key"]}
    return [
        client.get(f"{address}/admin/login/"),
        client.post(f"{address}/admin/login/", data=form),
        client.get(f"{address}/api/v1/usage/"),
        client.get(f"{address}/api/v1/nothing/"),
    ]


FAULTS = [
    {"what": "status", "status": 400, "message": f"Cannot do {CANARIES['prompt']} {CANARIES['spoken text']}"},
    {"what": "status", "status": 500, "body": f"<h1>{CANARIES['transcript']}</h1>"},
    {"what": "status", "status": 429, "message": CANARIES["spoken text"]},
    {"what": "drop"},
    {"what": "garbage"},
    {"what": "die"},
    {"what": "cut"},
]


def failures(client, site, fault):
    """Each kind of request while the provider fails like that."""
    for operation in ("transcriptions", "translations", "speech"):
        site.studio.fault(operation, **fault)
    requests = [
        lambda: transcribe(client),
        lambda: transcribe(client, model="studio/transcribe", stream="true"),
        lambda: transcribe(client, "/audio/translations"),
        lambda: speak(client, response_format="wav"),
        lambda: speak(client, model="studio/plain-voice"),
    ]
    made = []
    for request in requests:
        site.let_calls_through()
        with suppress(httpx.TransportError):
            made.append(request())
    site.studio.clear_faults()
    return made


def of_gemini(client, site):
    """Another protocol, by another SDK: what works, and what fails with the caller's words in it."""
    hears, speaks = "gemini/gemini-3.8-flash", "gemini/gemini-3.8-flash-tts"
    audio = make_wav(1.0)
    with GeminiServer.start() as gemini:
        gemini.answers({sha256_of(audio): CANARIES["transcript"]})
        make_gemini(site.workspace, gemini)
        wait_for(lambda: client.get(f"/models/{speaks}").status_code == 200)
        made = [transcribe(client, audio=audio, model=hears), speak(client, model=speaks, voice="Kore")]
        assert [answer.status_code for answer in made] == [200, 200]
        message = f"Cannot do {CANARIES['prompt']} {CANARIES['spoken text']}"
        for operation in ("generate", "stream"):
            gemini.fault(operation, "status", status=500, message=message)
        return [*made, transcribe(client, audio=audio, model=hears), speak(client, model=speaks, voice="Kore")]


def leave_in_the_middle(client, studio):
    studio.settings(hold_after=2)
    wish = {"model": "studio/voice", "voice": "alloy", "input": CANARIES["spoken text"] * 20, "response_format": "wav"}
    with client.stream("POST", "/audio/speech", json=wish) as answer:
        next(answer.iter_raw())
    wait_for(lambda: studio.open_streams == 0)
    studio.settings(hold_after=None)


def stranger(site):
    """A key of another workspace."""
    workspace = Workspace.objects.create(organization=site.workspace.organization, name="Other", slug="stranger")
    return site.make_key(workspace=workspace)


def crash(client, table):
    """The site's own failure: a table is not there."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO gone")
    try:
        made = [transcribe(client), speak(client)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE gone RENAME TO {table}")
    assert {answer.status_code for answer in made} <= {500, 503}
    return made


def assert_without_canaries(text, *, where):
    found = [name for name, word in CANARIES.items() if word in text.lower()]
    found += ["provider's key" for key in (UPSTREAM_KEY, API_KEY) if key in text]
    assert not found, f"{where} holds the {', '.join(found)}"


def test_the_output_of_the_site_holds_nothing_private(site, answers):
    log = site.log.read_text(errors="replace")
    assert "failed with" in log  # the crashes are told
    assert_without_canaries(log, where="the log")
    assert site.key not in log


def test_no_row_of_any_table_holds_anything_private(site, answers):
    for model in apps.get_models():
        rows = str(list(model.objects.values_list()))
        assert_without_canaries(rows, where=f"a row of {model._meta.label}")
        assert site.key not in rows


def test_every_call_is_in_the_ledger_nevertheless(site, answers):
    results = set(UsageRecord.objects.filter(workspace=site.workspace).values_list("result", flat=True))
    assert {"success", "failed", "disconnected"} <= results


def test_errors_tell_their_caller_nothing_of_keys_or_other_people_s_words(site, answers):
    for answer in answers:
        if answer.status_code >= 500:  # below it people may be told of what they have just sent
            assert_without_canaries(answer.text, where=f"the answer {answer.status_code}")
            assert set(json.loads(answer.text)["error"]) == {"message", "type", "param", "code"}
        assert UPSTREAM_KEY not in answer.text
        assert site.key not in answer.text
        assert CANARIES["wrong key"] not in answer.text


def test_no_audio_is_left_on_disk(site, answers):
    assert [path for path in (site.log.parent / "tmp").rglob("*") if path.is_file() and path.stat().st_size] == []
