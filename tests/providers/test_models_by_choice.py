"""Models that a provider offers, taken over by choice; what they can do and cost, changed by staff and by REST."""

import pytest
from django.urls import reverse

from accounts.models import Role
from core.errors import AlreadyExists, InvalidInput
from providers.capabilities import problem_with, streamed_tasks, tasks_of_kind
from providers.model_listing import upstream_models
from providers.model_services import sync_models, update_model
from providers.models import Provider, SpeechModel
from providers.registry import close_adapters
from providers.services import create_provider, ensure_catalogue
from tests.scripted.data import make_model
from tests.servers.gemini import API_KEY, GeminiServer

OFFERED = [
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-3.5-transcribe",
    "gemini-3.8-flash",
    "gemini-3.8-flash-tts",
]
MODELS = "/admin/providers/speechmodel/"


@pytest.fixture(scope="module")
def server():
    with GeminiServer.start() as server:
        yield server


@pytest.fixture
def gemini(server, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = True  # the stand-in is on loopback
    server.reset()
    yield server
    close_adapters()


@pytest.fixture
def provider(workspace, gemini):
    return create_provider(
        workspace=workspace, kind="gemini", name="mine", base_url=gemini.base_url, credential=API_KEY
    )


@pytest.fixture
def local(workspace):
    ensure_catalogue(workspace=workspace)
    return Provider.objects.get(workspace=workspace, name="local")


@pytest.fixture
def owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


@pytest.fixture
def rest(api_as):
    return api_as(Role.OWNER)


def sync_page(provider):
    return reverse("admin:providers_provider_sync_models", args=[provider.pk])


def facts(model):
    return (model.name, model.upstream_name, model.tasks, model.prices.count())


# --- What is offered ----------------------------------------------------------------------------


def test_what_a_provider_offers_is_told_from_what_is_here(provider):
    offered = {model.name: model.added for model in upstream_models(provider).models}
    assert offered == {name: not name.startswith("gemini-2.5") for name in OFFERED}


def test_a_provider_that_does_not_answer_says_so_with_what_to_do(provider, gemini):
    gemini.fault("model_list", "status", status=503)
    upstream = upstream_models(provider)
    assert (upstream.models, upstream.reason) == ([], "provider_error")
    assert "503" in upstream.fault
    assert "Retry later" in upstream.advice


def test_the_embedded_engines_offer_nothing_more(local):
    assert "do not say which models they offer" in upstream_models(local).fault


# --- In the admin -------------------------------------------------------------------------------


def test_an_owner_ticks_what_models_do_and_they_are_added_without_a_price(owner, provider):
    assert (
        sync_page(provider)
        in owner.get(reverse("admin:providers_provider_change", args=[provider.pk])).content.decode()
    )
    page = owner.get(sync_page(provider)).content.decode()
    assert all(name in page for name in OFFERED)
    assert page.count("is here already") == 3
    answer = owner.post(sync_page(provider), {"stt": ["gemini-2.5-pro"], "chat": ["gemini-2.5-pro"]}, follow=True)
    assert "unknown until you enter their prices" in answer.content.decode()
    assert facts(SpeechModel.objects.get(name="gemini-2.5-pro")) == (
        "gemini-2.5-pro",
        "gemini-2.5-pro",
        ["stt", "chat"],
        0,
    )
    assert not SpeechModel.objects.filter(name="gemini-2.5-flash").exists()


def test_nothing_ticked_adds_nothing(owner, provider):
    before = SpeechModel.objects.count()
    assert "Nothing was ticked" in owner.post(sync_page(provider), {}, follow=True).content.decode()
    assert SpeechModel.objects.count() == before


def test_a_model_that_cannot_be_added_is_said_and_the_ticks_stay(owner, provider):
    page = owner.post(sync_page(provider), {"translation": ["gemini-2.5-pro"], "stt": ["gemini-2.5-flash"]})
    assert "Providers of the kind Google Gemini do not do translation to English." in page.content.decode()
    assert 'value="gemini-2.5-flash" checked' in page.content.decode()
    assert not SpeechModel.objects.filter(name__startswith="gemini-2.5").exists()  # all of them or none


def test_a_fault_of_the_provider_is_shown_with_its_code_and_advice(owner, provider, gemini):
    gemini.fault("model_list", "status", status=429)
    page = owner.get(sync_page(provider)).content.decode()
    assert "rate_limited" in page
    assert "Retry later" in page


def test_providers_that_list_no_models_have_no_such_page(owner, local):
    page = owner.get(reverse("admin:providers_provider_change", args=[local.pk])).content.decode()
    assert sync_page(local) not in page
    assert owner.get(sync_page(local)).status_code == 403


@pytest.mark.parametrize("role", [Role.EVALUATOR, Role.VIEWER])
def test_others_add_no_models(client, make_member, provider, role):
    client.force_login(make_member(role))
    assert client.get(sync_page(provider)).status_code == 403
    assert client.post(sync_page(provider), {"stt": ["gemini-2.5-pro"]}).status_code == 403


def test_the_list_says_what_each_model_can_do(owner, provider, local):
    page = owner.get(MODELS).content.decode()
    assert "speech to text, chat (streams)" in page
    assert "text to speech (streams)" in page
    assert "direct, batch" in page
    assert "languages: en; 10 min" in page
    assert "570 min" in page
    assert "formats: pcm" in page
    assert "words" in page


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({"chat": "on"}, "do not do chat."),
        ({"text_to_speech": "on", "supports_batch": "on"}, "do not do text to speech or batches."),
        ({"speech_to_text": ""}, "A model needs a task at least."),
    ],
)
def test_a_model_that_claims_what_its_kind_cannot_do_is_refused(owner, workspace, claim, words):
    model = make_model(workspace)
    fields = {"name": "m", "upstream_name": "m", "speech_to_text": "on", "languages": "[]", "options": "{}"}
    fields |= {"supports_direct": "on", "prices-TOTAL_FORMS": 0, "prices-INITIAL_FORMS": 0}
    page = owner.post(reverse("admin:providers_speechmodel_change", args=[model.pk]), {**fields, **claim})
    assert words in page.content.decode()


# --- By REST ------------------------------------------------------------------------------------


def test_rest_lists_what_is_offered_and_adds_what_is_chosen(rest, provider):
    address = f"/api/v1/providers/{provider.pk}/"
    offered = rest.get(f"{address}upstream-models/").json()
    assert [model["name"] for model in offered["models"]] == OFFERED
    chosen = [{"name": "gemini-2.5-pro", "tasks": ["stt"]}, {"name": "gemini-3.8-flash", "tasks": ["tts"]}]
    added = rest.post(f"{address}models/", {"models": chosen}, format="json")
    assert added.status_code == 201
    assert [(model["id"], model["tasks"], model["prices"]) for model in added.json()] == [
        ("mine/gemini-2.5-pro", ["stt"], [])
    ]
    assert SpeechModel.objects.get(name="gemini-3.8-flash").tasks == ["stt", "chat"]  # as it was


@pytest.mark.parametrize(
    "models",
    [
        [],
        [{"name": "x", "tasks": []}],
        [{"name": "x", "tasks": ["singing"]}],
        [{"name": "", "tasks": ["stt"]}],
        [{"name": "x", "tasks": ["translation"]}],
        [{"name": "x", "tasks": ["stt"], "colour": "blue"}],
    ],
)
def test_rest_refuses_a_bad_choice(rest, provider, models):
    before = SpeechModel.objects.count()
    answer = rest.post(f"/api/v1/providers/{provider.pk}/models/", {"models": models}, format="json")
    assert answer.status_code == 400
    assert SpeechModel.objects.count() == before


def test_rest_changes_a_model(rest, provider):
    model = provider.models.get(name="gemini-3.8-flash")
    change = {"tasks": ["stt"], "supports_batch": False, "languages": ["de"], "word_times": True, "is_active": False}
    changed = rest.patch(f"/api/v1/models/{model.pk}/", change, format="json")
    assert changed.status_code == 200
    expected = {"tasks": ["stt"], "modes": ["direct"], "languages": ["de"], "times": ["words"], "is_active": False}
    assert {name: changed.json()[name] for name in expected} == expected
    assert rest.get(f"/api/v1/models/{model.pk}/").json() == changed.json()


@pytest.mark.parametrize(
    ("change", "field", "status"),
    [
        ({"tasks": ["translation"]}, "tasks", 400),
        ({"tasks": []}, "tasks", 400),
        ({"options": {"voice": 3}}, "options", 400),
        ({"provider": "other"}, "provider", 400),
        ({"name": "gemini-3.5-transcribe"}, "name", 409),
    ],
)
def test_rest_refuses_a_bad_change_by_its_name(rest, provider, change, field, status):
    model = provider.models.get(name="gemini-3.8-flash")
    refused = rest.patch(f"/api/v1/models/{model.pk}/", change, format="json")
    assert refused.status_code == status
    assert refused.json()["errors"][0]["field"].startswith(field)
    model.refresh_from_db()
    assert (model.name, model.tasks) == ("gemini-3.8-flash", ["stt", "chat"])


def test_rest_sets_dated_prices(rest, provider):
    address = f"/api/v1/models/{provider.models.get(name='gemini-3.5-transcribe').pk}/prices/"
    for usd in ("0.004", "0.005"):  # of the same day: the later one holds
        body = {"unit": "audio_minute", "usd": usd, "valid_from": "2026-10-01"}
        assert rest.post(address, body).status_code == 201
    assert [(price["valid_from"], float(price["usd"])) for price in rest.get(address).json()] == [
        ("2026-10-01", 0.005),
        ("2026-01-01", 0.003),
    ]
    assert rest.post(address, {"unit": "audio_minute", "usd": "-1", "valid_from": "2026-10-01"}).status_code == 400
    assert rest.post(address, {"unit": "a smile", "usd": "1", "valid_from": "2026-10-01"}).status_code == 400


def test_rest_deletes_a_model(rest, provider):
    model = provider.models.get(name="gemini-3.8-flash")
    assert rest.delete(f"/api/v1/models/{model.pk}/").status_code == 204
    assert not SpeechModel.objects.filter(pk=model.pk).exists()


def test_only_owners_change_models_and_ask_providers(api, provider):
    model = provider.models.first()
    assert api.get(f"/api/v1/models/{model.pk}/").status_code == 200
    assert api.patch(f"/api/v1/models/{model.pk}/", {"is_active": False}).status_code == 403
    assert api.post(f"/api/v1/models/{model.pk}/prices/", {}).status_code == 403
    assert api.get(f"/api/v1/providers/{provider.pk}/upstream-models/").status_code == 403
    assert api.post(f"/api/v1/providers/{provider.pk}/models/", {}).status_code == 403


# --- Before a run starts ------------------------------------------------------------------------


def test_a_claim_that_the_kind_cannot_keep_is_said_before_a_run(workspace):
    model = make_model(workspace)
    assert problem_with(model, task="stt") == ""
    model.text_to_speech = model.supports_batch = True
    assert problem_with(model, task="tts", mode="direct") == "Providers of the kind Scripted do not do text to speech."
    assert problem_with(model, task="stt") == "Providers of the kind Scripted do not do batches."
    assert problem_with(model, task="stt", mode="direct") == ""


def test_what_a_kind_can_do_is_read_from_its_adapter(provider, local):
    assert tasks_of_kind("local") == ["stt", "tts", "chat"]
    assert tasks_of_kind("openai") == ["stt", "tts", "chat", "translation"]
    assert tasks_of_kind("gone") == []
    assert streamed_tasks(provider.models.get(name="gemini-3.8-flash")) == ["chat"]


def test_a_name_is_taken_once_at_a_provider(provider):
    model = provider.models.get(name="gemini-3.8-flash")
    with pytest.raises(AlreadyExists, match=r"There is a model 'gemini-3\.5-transcribe' already"):
        update_model(model=model, name="gemini-3.5-transcribe")
    with pytest.raises(InvalidInput, match="up to 200 characters"):
        sync_models(provider=provider, chosen={"x" * 201: ["stt"]})
