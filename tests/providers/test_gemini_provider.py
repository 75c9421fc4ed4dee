"""Where a Gemini provider's key and address come from, and that it can be tried out."""

import pytest
from django.core.management import call_command

from accounts.models import Role
from core.errors import InvalidInput
from providers.adapters.gemini.client import BASE_URL
from providers.connection_test import check_up
from providers.models import Price, Provider, SpeechModel
from providers.registry import adapter_for, close_adapters
from providers.services import create_provider, ensure_catalogue, update_provider
from tests.servers.gemini import API_KEY, GeminiServer

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def server():
    with GeminiServer.start() as server:
        yield server


@pytest.fixture
def gemini(server, settings):
    settings.PROVIDER_TIMEOUT_SECONDS = 2
    settings.ALLOW_PRIVATE_ADDRESSES = True  # the stand-in is on loopback
    server.reset()
    yield server
    close_adapters()


@pytest.fixture
def environment(gemini, settings):
    """The stand-in's key and address are those of the environment."""
    settings.GEMINI_API_KEY, settings.GEMINI_BASE_URL = API_KEY, gemini.base_url
    return settings


def checks(checkup):
    return [(check.model, check.ok, check.reason) for check in checkup.checks]


def test_a_key_in_the_environment_gives_each_workspace_the_catalogues_models(workspace, environment):
    for _ in range(2):
        ensure_catalogue(workspace=workspace)
    provider = Provider.objects.get(kind="gemini")
    assert (provider.name, provider.base_url, provider.has_credential) == ("gemini", "", False)
    models = {model.public_name: model for model in SpeechModel.objects.filter(provider=provider)}
    assert set(models) == {
        "gemini/gemini-3.8-flash",
        "gemini/gemini-3.5-transcribe",
        "gemini/gemini-3.8-flash-tts",
    }
    assert models["gemini/gemini-3.8-flash"].modes == ["direct", "batch"]
    assert models["gemini/gemini-3.5-transcribe"].modes == ["direct"]
    assert Price.objects.filter(model__provider=provider).count() == 7


def test_setup_adds_it_too_and_undoes_no_edit(environment):
    call_command("setup", verbosity=0)
    Provider.objects.filter(kind="gemini").update(is_active=False)
    call_command("setup", verbosity=0)
    assert Provider.objects.get(kind="gemini").is_active is False


def test_without_a_key_there_is_no_such_provider(workspace):
    ensure_catalogue(workspace=workspace)
    assert not Provider.objects.filter(kind="gemini").exists()


def test_with_neither_address_nor_credential_the_environments_are_used(workspace, environment, gemini):
    ensure_catalogue(workspace=workspace)
    checkup = check_up(Provider.objects.get(kind="gemini"))
    assert checks(checkup) == [
        ("", True, ""),
        ("gemini/gemini-3.8-flash-tts", True, ""),
        ("gemini/gemini-3.5-transcribe", True, ""),
        ("gemini/gemini-3.8-flash", True, ""),
    ]
    assert [check.found.split(" ", 1)[1] for check in checkup.checks] == [
        "models are offered",
        "s of speech",
        "characters heard",
        "characters answered",
    ]
    assert gemini.state()["calls"] == {"model_list": 2, "generate": 2, "stream": 1}


def test_the_environments_key_never_goes_to_an_address_that_somebody_typed(workspace, environment, gemini):
    provider = create_provider(workspace=workspace, kind="gemini", name="typed", base_url=gemini.base_url)
    checkup = check_up(provider)
    assert checks(checkup) == [("", False, "invalid_credentials")]
    assert "enter one for the provider" in checkup.checks[0].fault
    assert gemini.state()["calls"] == {}


def test_a_key_that_somebody_typed_never_goes_to_the_environments_address(workspace, environment):
    provider = create_provider(workspace=workspace, kind="gemini", name="typed", credential="their own")
    assert adapter_for(provider)._client.base_url == BASE_URL


def test_a_wrong_key_is_said_to_be_wrong(workspace, gemini):
    provider = create_provider(
        workspace=workspace, kind="gemini", name="wrong", base_url=gemini.base_url, credential="not the key"
    )
    checkup = check_up(provider)
    assert checks(checkup) == [("", False, "invalid_credentials")]  # one call is enough to know
    assert "Enter a valid one" in checkup.checks[0].advice


def test_a_model_that_fails_is_told_from_those_that_work(workspace, environment, gemini):
    ensure_catalogue(workspace=workspace)
    gemini.fault("stream", "status", status=429)
    checkup = check_up(Provider.objects.get(kind="gemini"))
    assert [check.ok for check in checkup.checks] == [True, True, True, False]
    assert checkup.checks[-1].reason == "rate_limited"
    assert not checkup.ok


def test_owners_try_it_out_by_rest(workspace, gemini, api_as):
    provider = create_provider(
        workspace=workspace, kind="gemini", name="mine", base_url=gemini.base_url, credential=API_KEY
    )
    body = api_as(Role.OWNER).post(f"/api/v1/providers/{provider.pk}/test/").json()
    assert body["ok"]
    assert [check["task"] for check in body["checks"]] == ["models", "tts", "stt", "chat"]
    assert API_KEY not in str(body)


def test_the_models_list_shows_how_each_can_be_asked(workspace, environment, api):
    ensure_catalogue(workspace=workspace)
    modes = {model["id"]: model["modes"] for model in api.get("/api/v1/models/?task=stt").json()["results"]}
    assert modes["gemini/gemini-3.8-flash"] == ["direct", "batch"]
    assert modes["gemini/gemini-3.5-transcribe"] == ["direct"]


def test_nobody_makes_a_provider_that_spends_on_the_environments_key(workspace, environment):
    with pytest.raises(InvalidInput, match="Enter the API key"):
        create_provider(workspace=workspace, kind="gemini", name="borrowed")


def test_a_provider_of_ones_own_is_not_turned_into_the_environments(workspace, environment):
    provider = create_provider(workspace=workspace, kind="gemini", name="own", credential="own-key")
    with pytest.raises(InvalidInput, match="Enter the API key"):
        update_provider(provider=provider, credential="")


def test_the_environments_provider_can_still_be_changed(workspace, environment):
    ensure_catalogue(workspace=workspace)
    provider = update_provider(provider=Provider.objects.get(kind="gemini"), max_concurrency=3)
    assert provider.max_concurrency == 3
