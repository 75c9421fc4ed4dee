"""The catalogue, prices, what a model can do, and what stays when it is deleted."""

from datetime import date
from decimal import Decimal

import pytest

from evaluations.models import Job, Run
from providers.capabilities import language_warning, problem_with
from providers.models import Price, Provider, SpeechModel
from providers.pricing import cost_of_audio
from providers.registry import adapter_for
from providers.services import create_provider, delete_provider, ensure_catalogue, set_price, update_provider
from tests.scripted.data import make_dataset

TODAY = date(2026, 6, 1)


@pytest.fixture
def models(workspace):
    ensure_catalogue(workspace=workspace)
    return {model.name: model for model in SpeechModel.objects.for_workspace(workspace).select_related("provider")}


# --- Catalogue ----------------------------------------------------------------------------------


def test_the_catalogue_is_set_up_once(workspace, models):
    ensure_catalogue(workspace=workspace)
    assert sorted(models) == ["echo", "espeak-ng", "pocketsphinx", "pocketsphinx-fast"]
    assert (Provider.objects.count(), SpeechModel.objects.count(), Price.objects.count()) == (1, 4, 6)


def test_setting_up_again_undoes_no_edit(workspace, models):
    SpeechModel.objects.filter(name="pocketsphinx").update(is_active=False, options={"ds": 3})
    Price.objects.update(usd=5)
    Provider.objects.update(max_concurrency=77)
    ensure_catalogue(workspace=workspace)
    edited = SpeechModel.objects.get(name="pocketsphinx")
    assert (edited.is_active, edited.options, edited.provider.max_concurrency) == (False, {"ds": 3}, 77)
    assert not Price.objects.exclude(usd=5).exists()


def test_a_workspace_of_an_earlier_version_gets_the_new_models_and_keeps_its_own_as_they_are(workspace, models):
    models["echo"].delete()
    SpeechModel.objects.filter(name="pocketsphinx").update(word_times=False, chat=False)  # before there were such
    ensure_catalogue(workspace=workspace)
    assert SpeechModel.objects.get(name="echo").tasks == ["chat"]
    assert SpeechModel.objects.get(name="pocketsphinx").word_times is False


def test_a_provider_that_took_the_name_of_a_kind_is_left_alone(workspace, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = True
    create_provider(workspace=workspace, kind="scripted", name="local", credential="key")
    ensure_catalogue(workspace=workspace)
    assert not SpeechModel.objects.exists()


def test_setting_up_again_adds_what_is_missing(workspace, models):
    models["pocketsphinx-fast"].delete()
    ensure_catalogue(workspace=workspace)
    assert SpeechModel.objects.get(name="pocketsphinx-fast").options == {"ds": 2, "maxhmmpf": 3000, "maxwpf": 5}


# --- Prices -------------------------------------------------------------------------------------


def test_the_embedded_models_are_free(models):
    assert cost_of_audio(models["pocketsphinx"], 3600, TODAY) == 0


def test_without_a_price_the_cost_is_unknown(models):
    models["pocketsphinx"].prices.all().delete()
    assert cost_of_audio(models["pocketsphinx"], 3600, TODAY) is None


def test_the_latest_price_that_has_begun_holds(models):
    model, minute = models["pocketsphinx"], Price.Unit.AUDIO_MINUTE
    set_price(model=model, unit=minute, usd=Decimal("0.006"), valid_from=date(2026, 5, 1))
    set_price(model=model, unit=minute, usd=Decimal("0.012"), valid_from=date(2026, 7, 1))
    set_price(model=model, unit=Price.Unit.CHARACTERS, usd=Decimal(15), valid_from=date(2026, 5, 2))
    assert cost_of_audio(model, 90, TODAY) == Decimal("0.009")
    assert cost_of_audio(model, 90, date(2026, 7, 1)) == Decimal("0.018")
    in_force = {price.unit: price.usd for price in model.prices_on(TODAY)}
    assert in_force == {"audio_minute": Decimal("0.006"), "characters": Decimal(15)}


def test_a_price_of_the_same_day_is_replaced(models):
    for usd in (1, 2):
        set_price(model=models["pocketsphinx"], unit=Price.Unit.AUDIO_MINUTE, usd=Decimal(usd), valid_from=TODAY)
    assert cost_of_audio(models["pocketsphinx"], 60, TODAY) == 2


# --- What a model can do ------------------------------------------------------------------------


def test_a_model_does_its_own_task(models):
    assert problem_with(models["pocketsphinx"], task="stt") == ""
    assert problem_with(models["espeak-ng"], task="tts", mode="direct") == ""


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("espeak-ng", {"task": "stt"}, "does not do speech to text"),
        ("pocketsphinx", {"task": "tts"}, "does not do text to speech"),
        ("pocketsphinx", {"task": "stt", "mode": "batch"}, "does not work in batch mode; use direct"),
    ],
)
def test_what_a_model_cannot_do_is_said(models, name, asked, words):
    assert words in problem_with(models[name], **asked)


def test_a_model_or_provider_that_is_switched_off_is_said(models):
    model = models["pocketsphinx"]
    model.is_active = False
    assert "switched off" in problem_with(model, task="stt")
    model.is_active, model.provider.is_active = True, False
    assert "switched off" in problem_with(model, task="stt")


def test_a_kind_that_is_gone_is_said(models):
    models["pocketsphinx"].provider.kind = "gone"
    assert "'gone'" in problem_with(models["pocketsphinx"], task="stt")


@pytest.mark.parametrize(("language", "warned"), [("en", False), ("en-GB", False), ("", False), ("de", True)])
def test_a_language_that_a_model_is_not_made_for_is_warned_of(models, language, warned):
    assert bool(language_warning(models["pocketsphinx"], language)) is warned


# --- Adapters -----------------------------------------------------------------------------------


def test_an_adapter_is_kept_until_its_providers_settings_change(workspace, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = True
    provider = create_provider(workspace=workspace, kind="scripted", name="remote", credential="one")
    first = adapter_for(provider)
    assert adapter_for(Provider.objects.get(pk=provider.pk)) is first
    update_provider(provider=provider, max_concurrency=3)
    assert adapter_for(provider) is first
    update_provider(provider=provider, credential="two")
    assert adapter_for(provider) is not first


# --- Deleting -----------------------------------------------------------------------------------


def test_results_of_a_deleted_provider_stay_under_their_models_name(workspace, models):
    run = Run.objects.create(
        workspace=workspace, dataset=make_dataset(workspace), name="run", normalizer="basic", normalizer_version=1
    )
    model = models["pocketsphinx"]
    Job.objects.create(run=run, model=model, model_name=model.public_name, total=0)
    delete_provider(provider=model.provider)
    job = Job.objects.get()
    assert (job.model, job.model_name) == (None, "local/pocketsphinx")
