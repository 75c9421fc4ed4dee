"""Where an OpenAI provider's key and address come from, what it starts with, and that it can be tried out."""

import asyncio
import logging
from decimal import Decimal

import pytest

from accounts.models import Role
from core.errors import InvalidInput
from providers.adapters.base import (
    ChatMessage,
    ChatRequest,
    ProviderError,
    SpeechRequest,
    as_chat_model,
    as_synthesizer,
    as_transcriber,
)
from providers.adapters.openai.adapter import BASE_URL
from providers.connection_test import check_up
from providers.models import Provider, SpeechModel
from providers.registry import KINDS, adapter_for, close_adapters, model_config
from providers.services import create_provider, ensure_catalogue, update_provider
from tests.providers.openai_calls import collect, hearing
from tests.waiting import async_wait_for

pytestmark = pytest.mark.django_db

KEY = "sk-of-the-environment"


@pytest.fixture
def stand_in(openai, settings):
    settings.PROVIDER_TIMEOUT_SECONDS = 5
    settings.ALLOW_PRIVATE_ADDRESSES = True  # it is on loopback
    openai.settings(valid_key=KEY)
    yield openai
    close_adapters()


@pytest.fixture
def environment(stand_in, settings):
    """The stand-in's key and address are those of the environment."""
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = KEY, stand_in.url
    return settings


def reasons(provider):
    return {check.reason for check in check_up(provider).checks}


def test_a_key_in_the_environment_gives_each_workspace_the_catalogues_models(workspace, environment):
    for _ in range(2):
        ensure_catalogue(workspace=workspace)
    provider = Provider.objects.get(kind="openai")
    assert (provider.name, provider.base_url, provider.has_credential) == ("openai", "", False)
    models = {model.name: model for model in provider.models.all()}
    assert {name: model.tasks for name, model in models.items()} == {
        "gpt-transcribe": ["stt"],
        "gpt-4o-mini-transcribe": ["stt"],
        "whisper-1": ["stt", "translation"],
        "gpt-4o-mini-tts": ["tts"],
        "tts-1": ["tts"],
        "gpt-4.1-mini": ["chat"],
    }
    assert models["gpt-transcribe"].max_audio_bytes == 25 * 1024 * 1024
    assert models["gpt-transcribe"].prices.get().usd == Decimal("0.0045")
    assert model_config(models["whisper-1"]).timestamp_granularities == {"word", "segment"}
    assert model_config(models["gpt-transcribe"]).timestamp_granularities == frozenset()


def test_without_a_key_there_is_no_such_provider(workspace):
    ensure_catalogue(workspace=workspace)
    assert not Provider.objects.filter(kind="openai").exists()


def test_all_that_the_catalogue_offers_works(workspace, environment, stand_in):
    ensure_catalogue(workspace=workspace)
    provider = Provider.objects.get(kind="openai")
    adapter = adapter_for(provider)

    async def ask(model):
        if "stt" in model.tasks:
            return (await as_transcriber(adapter).transcribe(model_config(model), hearing())).text
        if "tts" in model.tasks:
            return (await as_synthesizer(adapter).speak(model_config(model), SpeechRequest("Hello."))).audio
        asked = ChatRequest((ChatMessage("user", "Hello."),))
        return await collect(as_chat_model(adapter).stream_chat(model_config(model), asked))

    for model in provider.models.all():
        assert asyncio.run(ask(model)), model.name


def test_it_can_be_tried_out(workspace, environment):
    ensure_catalogue(workspace=workspace)
    checkup = check_up(Provider.objects.get(kind="openai"))
    assert checkup.ok
    assert len(checkup.checks) >= 2


def test_the_environments_key_never_goes_to_an_address_that_somebody_typed(workspace, environment, stand_in):
    provider = create_provider(workspace=workspace, kind="openai", name="typed", base_url=stand_in.url)
    assert reasons(provider) == {"invalid_credentials"}
    assert stand_in.calls == []


def test_a_change_of_settings_holds_for_the_next_call_and_leaves_no_connection_behind(workspace, stand_in):
    provider = create_provider(
        workspace=workspace, kind="openai", name="typed", base_url=stand_in.url, credential="wrong"
    )

    async def call_before_and_after():
        with pytest.raises(ProviderError, match="401"):
            await adapter_for(provider).list_models()
        provider.credential = KEY
        assert await adapter_for(provider).list_models()
        await async_wait_for(lambda: stand_in.connections <= 1)

    asyncio.run(call_before_and_after())


def test_a_key_that_somebody_typed_never_goes_to_the_environments_address(workspace, environment):
    provider = create_provider(workspace=workspace, kind="openai", name="typed", credential="their own")
    assert adapter_for(provider).endpoint().base_url == BASE_URL


def test_the_environments_headers_go_along_with_its_key_alone(workspace, environment, stand_in, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ours")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-ours")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-gateway-key: ours")
    ensure_catalogue(workspace=workspace)
    typed = create_provider(
        workspace=workspace, kind="openai", name="typed", base_url=stand_in.url, credential="their own"
    )
    sent = []
    for provider in (Provider.objects.get(name="openai"), typed):
        check_up(provider)
        names = {"openai-organization", "openai-project", "x-gateway-key"}
        sent.append(names & set(stand_in.calls[-1].headers))
    assert sent == [{"openai-organization", "openai-project", "x-gateway-key"}, set()]


def test_nobody_makes_a_provider_that_spends_on_the_environments_key(workspace, environment):
    with pytest.raises(InvalidInput, match="Enter the API key"):
        create_provider(workspace=workspace, kind="openai", name="borrowed")
    own = create_provider(workspace=workspace, kind="openai", name="own", credential="own-key")
    with pytest.raises(InvalidInput, match="Enter the API key"):
        update_provider(provider=own, credential="")


def test_a_wrong_key_is_said_to_be_wrong(workspace, stand_in):
    provider = create_provider(
        workspace=workspace, kind="openai", name="wrong", base_url=stand_in.url, credential="wrong"
    )
    assert reasons(provider) == {"invalid_credentials"}


def test_a_self_hosted_server_needs_an_address_but_no_key(workspace, stand_in):
    with pytest.raises(InvalidInput, match="address"):
        create_provider(workspace=workspace, kind="openai_compatible", name="box")
    provider = create_provider(workspace=workspace, kind="openai_compatible", name="box", base_url=stand_in.url + "/")
    assert adapter_for(provider).endpoint().headers == {}
    stand_in.settings(valid_key="")
    assert asyncio.run(adapter_for(provider).list_models())[0] == "gpt-transcribe"
    assert not stand_in.calls[-1].bearer


def test_requests_may_be_passed_on_with_the_providers_key(workspace, stand_in):
    provider = create_provider(
        workspace=workspace, kind="openai_compatible", name="box", base_url=stand_in.url, credential=f" {KEY}\n"
    )
    endpoint = adapter_for(provider).endpoint()
    assert (endpoint.base_url, endpoint.headers) == (stand_in.url, {"authorization": f"Bearer {KEY}"})
    assert KEY not in repr(endpoint)
    assert asyncio.run(adapter_for(provider).list_models())


def test_owners_try_it_out_by_rest(workspace, stand_in, api_as):
    provider = create_provider(
        workspace=workspace, kind="openai_compatible", name="mine", base_url=stand_in.url, credential=KEY
    )
    SpeechModel.objects.create(provider=provider, name="whisper", upstream_name="whisper-1", speech_to_text=True)
    body = api_as(Role.OWNER).post(f"/api/v1/providers/{provider.pk}/test/").json()
    assert body["ok"], body
    assert KEY not in str(body)


def test_nothing_of_a_call_is_logged_at_any_level(workspace, stand_in, caplog):
    stand_in.settings(text="the patient is called Ada", chat_text="the patient is called Ada")
    provider = create_provider(
        workspace=workspace, kind="openai_compatible", name="box", base_url=stand_in.url, credential=KEY
    )
    adapter = adapter_for(provider)
    model = model_config(SpeechModel(upstream_name="whisper-1"))
    with caplog.at_level(logging.DEBUG):
        asyncio.run(adapter.transcribe(model, hearing(prompt="the patient is called Ada")))
        asyncio.run(adapter.speak(model, SpeechRequest("the patient is called Ada")))
        asyncio.run(collect(adapter.stream_chat(model, ChatRequest((ChatMessage("user", "the patient"),)))))
    assert "patient" not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, ""),
        ({"input_tokens_a_second": 10, "voice": "alloy", "timeout_seconds": 5}, ""),
        ({"response_format": "srt"}, "response_format must be one of json, text, verbose_json."),
        ({"audio_formats": "wav"}, "audio_formats must be a list of"),
        ({"audio_formats": ["m4a"]}, "audio_formats must be a list of"),
        ({"speech_formats": ["ogg"]}, "speech_formats must be a list of"),
        ({"timeout_seconds": "long"}, "timeout_seconds must be a number of seconds."),
        ({"sample_rate": 0}, "sample_rate must be a number of Hz."),
    ],
)
def test_wrong_options_of_a_model_are_said_to_be_wrong(options, problem):
    said = KINDS["openai_compatible"].info.problem_with_model("whisper", options)
    assert said.startswith(problem)
    assert bool(said) == bool(problem)
