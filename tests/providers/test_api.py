"""Models and providers over REST."""

import logging

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from providers.models import Provider, SpeechModel
from providers.services import create_provider, ensure_catalogue, update_provider

SECRET = "sk-very-secret-credential"


@pytest.fixture
def local(workspace):
    ensure_catalogue(workspace=workspace)
    return Provider.objects.get(workspace=workspace, name="local")


@pytest.fixture
def remote(workspace, settings):
    """A provider of a kind that has an address and a credential."""
    settings.ALLOW_PRIVATE_ADDRESSES = True
    return create_provider(
        workspace=workspace, kind="scripted", name="remote", base_url="http://127.0.0.1:9", credential=SECRET
    )


@pytest.fixture
def owner(api_as):
    return api_as(Role.OWNER)


# --- Models -------------------------------------------------------------------------------------


def test_a_viewer_reads_models_with_what_they_can_do_and_cost(api_as, local):
    models = api_as(Role.VIEWER).get("/api/v1/models/").json()["results"]
    names = ["pocketsphinx", "pocketsphinx-fast", "espeak-ng", "echo"]
    assert [model["id"] for model in models] == [f"local/{name}" for name in names]
    pocketsphinx = local.models.get(name="pocketsphinx")
    assert models[0] | {"prices": None} == {
        "id": "local/pocketsphinx",
        "provider": "local",
        "name": "pocketsphinx",
        "url": f"/api/v1/models/{pocketsphinx.pk}/",
        "upstream_name": "pocketsphinx",
        "is_active": True,
        "tasks": ["stt"],
        "streams": [],
        "modes": ["direct"],
        "times": ["words"],
        "languages": ["en"],
        "audio_formats": [],
        "speech_formats": [],
        "max_audio_seconds": 600.0,
        "max_audio_bytes": None,
        "options": {},
        "prices": None,
    }
    assert [(price["unit"], float(price["usd"])) for price in models[0]["prices"]] == [("audio_minute", 0)]
    assert [model["streams"] for model in models[2:]] == [["tts"], ["chat"]]


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("stt", ["pocketsphinx", "pocketsphinx-fast"]),
        ("tts", ["espeak-ng"]),
        ("chat", ["echo"]),
        ("translation", []),
    ],
)
def test_models_are_filtered_by_task(api, local, task, names):
    assert [model["name"] for model in api.get(f"/api/v1/models/?task={task}").json()["results"]] == names


def test_an_unknown_task_is_an_error(api, local):
    assert api.get("/api/v1/models/?task=singing").status_code == 400


def test_models_that_are_switched_off_are_not_listed(api, local):
    local.models.filter(name="espeak-ng").update(is_active=False)
    assert len(api.get("/api/v1/models/").json()["results"]) == 3
    update_provider(provider=local, is_active=False)
    assert api.get("/api/v1/models/").json()["results"] == []


def test_models_of_another_workspace_are_not_listed(other_api, local):
    assert other_api.get("/api/v1/models/").json()["results"] == []


def test_listing_more_models_takes_no_more_queries(api, local):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            api.get("/api/v1/models/")
        return len(captured)

    queries()  # the first writes down when the key was used
    before = queries()
    SpeechModel.objects.bulk_create(SpeechModel(provider=local, name=f"model-{n}") for n in range(20))
    assert queries() == before


# --- Providers ----------------------------------------------------------------------------------


def test_the_kinds_say_what_they_want_and_can_do(api):
    kinds = {kind["kind"]: kind for kind in api.get("/api/v1/provider-kinds/").json()}
    assert kinds["openai_compatible"] | {"help": ""} == {
        "kind": "openai_compatible",
        "title": "OpenAI-compatible",
        "help": "",
        "address": "required",
        "default_address": "",
        "credential": "optional",
        "tasks": ["stt", "tts", "chat", "translation"],
        "lists_models": True,
    }
    wanted = {name: (kind["address"], kind["credential"], kind["lists_models"]) for name, kind in kinds.items()}
    assert wanted["local"] == ("none", "none", False)
    assert wanted["gemini"] == wanted["openai"] == ("optional", "required", True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "openai_compatible"}, "base_url"),
        ({"kind": "openai"}, "credential"),
        ({"kind": "gemini"}, "credential"),
    ],
)
def test_what_a_kind_requires_must_be_given(owner, workspace, body, field):
    refused = owner.post("/api/v1/providers/", {"name": "second", **body})
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [field]


def test_an_owner_makes_a_provider_and_gets_the_models_of_its_kind(owner, workspace):
    answer = owner.post("/api/v1/providers/", {"name": "second", "kind": "local", "max_concurrency": 2})
    assert answer.status_code == 201
    names = ["echo", "espeak-ng", "pocketsphinx", "pocketsphinx-fast"]
    assert answer.json()["models"] == [f"second/{name}" for name in names]
    assert owner.get(answer.headers["Location"]).json() == answer.json()


def test_a_credential_is_stored_encrypted_and_in_no_answer(owner, workspace, settings, caplog):
    settings.ALLOW_PRIVATE_ADDRESSES = True
    caplog.set_level(logging.DEBUG)
    body = {"name": "remote", "kind": "scripted", "base_url": "http://127.0.0.1:9", "credential": SECRET}
    made = owner.post("/api/v1/providers/", body)
    assert made.status_code == 201
    address = f"/api/v1/providers/{made.json()['id']}/"
    answers = [made, owner.get(address), owner.get("/api/v1/providers/"), owner.patch(address, {"max_concurrency": 3})]
    answers.append(owner.post(f"{address}test/"))
    assert all(SECRET not in answer.content.decode() for answer in answers)
    assert all(answer.json().get("has_credential", True) for answer in answers)
    assert SECRET not in caplog.text
    stored = Provider.objects.get(name="remote")
    assert stored.credential == SECRET
    assert SECRET not in str(vars(stored)) + repr(stored)


def test_a_credential_stays_is_replaced_and_removed(owner, remote):
    address = f"/api/v1/providers/{remote.pk}/"
    owner.patch(address, {"max_concurrency": 3})
    remote.refresh_from_db()
    assert remote.credential == SECRET
    owner.patch(address, {"credential": "another"})
    remote.refresh_from_db()
    assert remote.credential == "another"
    assert owner.patch(address, {"credential": ""}).json()["has_credential"] is False


def test_a_stored_credential_is_not_sent_to_a_new_address(owner, remote):
    address = f"/api/v1/providers/{remote.pk}/"
    refused = owner.patch(address, {"base_url": "http://127.0.0.1:10"})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "credential"
    assert owner.patch(address, {"base_url": "http://127.0.0.1:10", "credential": "new"}).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://localhost/",
        "http://10.0.0.1",
        "https://192.168.1.1/v1",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "ftp://example.com",
        "file:///etc/passwd",
        "http://user:password@8.8.8.8/",
        "http://8.8.8.8:port/",
        "example.com",
    ],
)
def test_an_address_inside_the_network_is_refused(owner, workspace, settings, url):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    body = {"name": "remote", "kind": "scripted", "base_url": url}
    refused = owner.post("/api/v1/providers/", body)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == ["base_url"]


def test_a_public_address_is_taken(owner, workspace):
    body = {"name": "remote", "kind": "scripted", "base_url": "https://8.8.8.8/v1"}
    assert owner.post("/api/v1/providers/", body).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "telepathy"}, "kind"),
        ({"base_url": "https://8.8.8.8"}, "base_url"),
        ({"credential": "key"}, "credential"),
        ({"name": "not a slug"}, "name"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(owner, workspace, change, field):
    refused = owner.post("/api/v1/providers/", {"name": "second", "kind": "local", **change})
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert not Provider.objects.exists()


def test_a_name_is_taken_once_in_a_workspace_and_again_in_another(owner, local, other_workspace):
    assert owner.post("/api/v1/providers/", {"name": "local", "kind": "local"}).status_code == 409
    ensure_catalogue(workspace=other_workspace)


def test_the_kind_of_a_provider_cannot_be_changed(owner, local):
    assert owner.patch(f"/api/v1/providers/{local.pk}/", {"kind": "scripted"}).status_code == 400


@pytest.mark.parametrize("role", [Role.EVALUATOR, Role.REVIEWER, Role.VIEWER])
def test_only_owners_manage_providers(api_as, local, role):
    client, address = api_as(role), f"/api/v1/providers/{local.pk}/"
    assert client.get(address).status_code == 200
    assert client.post("/api/v1/providers/", {"name": "x", "kind": "local"}).status_code == 403
    assert client.patch(address, {"name": "x"}).status_code == 403
    assert client.post(f"{address}test/").status_code == 403
    assert client.delete(address).status_code == 403
    assert Provider.objects.get().name == "local"


def test_another_workspaces_provider_answers_as_one_that_does_not_exist(owner, other_workspace):
    ensure_catalogue(workspace=other_workspace)
    theirs = Provider.objects.get(workspace=other_workspace).pk
    for pk in (theirs, 987654):
        address = f"/api/v1/providers/{pk}/"
        answers = [owner.get(address), owner.patch(address, {}), owner.delete(address), owner.post(f"{address}test/")]
        assert [answer.status_code for answer in answers] == [404] * 4
    assert Provider.objects.filter(pk=theirs).exists()


def test_an_owner_deletes_a_provider_with_its_models(owner, local):
    assert owner.delete(f"/api/v1/providers/{local.pk}/").status_code == 204
    assert not SpeechModel.objects.exists()


# --- Trying it out ------------------------------------------------------------------------------


def test_testing_the_local_provider_really_speaks_hears_and_chats(owner, local, engines):
    tested = owner.post(f"/api/v1/providers/{local.pk}/test/").json()
    assert tested["ok"] is True
    spoken, heard, chatted = tested["checks"]
    assert (spoken["model"], spoken["task"]) == ("local/espeak-ng", "tts")
    assert (heard["model"], heard["task"]) == ("local/pocketsphinx", "stt")
    assert (chatted["model"], chatted["task"]) == ("local/echo", "chat")
    assert spoken["latency"] > 0
    assert "s of speech" in spoken["found"]
    assert heard["text_length"] > 10
    assert chatted["text_length"] > 10


def test_testing_says_the_exact_fault(owner, local):
    local.models.filter(text_to_speech=True).delete()
    local.models.update(upstream_name="whisper")
    tested = owner.post(f"/api/v1/providers/{local.pk}/test/").json()
    assert tested["ok"] is False
    assert "no embedded engine 'whisper'" in tested["checks"][0]["fault"]
    assert tested["checks"][0]["reason"] == "capability_not_supported"


def test_testing_a_provider_without_models_says_so(owner, remote):
    tested = owner.post(f"/api/v1/providers/{remote.pk}/test/").json()
    assert (tested["ok"], tested["checks"]) == (False, [])
    assert "no model" in tested["fault"]


def test_testing_a_kind_that_is_gone_says_so(owner, local):
    Provider.objects.update(kind="gone")
    tested = owner.post(f"/api/v1/providers/{local.pk}/test/").json()
    assert "no providers of the kind 'gone'" in tested["fault"]


def test_a_credential_whose_key_is_lost_is_explained(owner, remote, settings):
    remote.models.create(name="model", upstream_name="model", speech_to_text=True)
    settings.CREDENTIAL_KEY = "another"
    tested = owner.post(f"/api/v1/providers/{remote.pk}/test/").json()
    assert "cannot be decrypted" in tested["fault"]
