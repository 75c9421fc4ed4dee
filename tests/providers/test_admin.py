"""The screens of providers, models and prices."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role
from providers.models import Price, Provider, ProviderThrottle, SpeechModel
from providers.services import create_provider, ensure_catalogue

SECRET = "sk-very-secret-credential"
PROVIDERS = "/admin/providers/provider/"
MODELS = "/admin/providers/speechmodel/"


@pytest.fixture
def local(workspace):
    ensure_catalogue(workspace=workspace)
    return Provider.objects.get(workspace=workspace, name="local")


@pytest.fixture
def remote(workspace, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = True
    return create_provider(
        workspace=workspace, kind="scripted", name="remote", base_url="http://127.0.0.1:9", credential=SECRET
    )


@pytest.fixture
def owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


def change(page, row):
    return reverse(f"admin:providers_{page}_change", args=[row.pk])


def fields(provider, **changes):
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "max_concurrency": provider.max_concurrency,
        "is_active": "on",
        **changes,
    }


def test_an_owner_adds_a_provider_with_its_models(owner, workspace):
    added = owner.post(f"{PROVIDERS}add/", {"name": "mine", "kind": "local", "max_concurrency": 2, "is_active": "on"})
    assert added.status_code == 302
    made = Provider.objects.get()
    assert (made.workspace, made.max_concurrency, made.models.count()) == (workspace, 2, 4)


def test_first_the_kind_is_chosen_and_then_its_own_form_is_filled_in(owner, workspace):
    kinds = owner.get(f"{PROVIDERS}add/").content.decode()
    assert all(label in kinds for label in ("Embedded engines", "Google Gemini", "OpenAI", "OpenAI-compatible"))
    gemini = owner.get(f"{PROVIDERS}add/?kind=gemini").content.decode()
    assert 'placeholder="https://generativelanguage.googleapis.com"' in gemini
    assert "An API key of Google AI Studio." in gemini
    local = owner.get(f"{PROVIDERS}add/?kind=local").content.decode()
    assert 'name="base_url"' not in local
    assert 'name="credential"' not in local
    assert "Which kind of provider?" in owner.get(f"{PROVIDERS}add/?kind=telepathy").content.decode()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("openai_compatible", "This field is required."), ("openai", "Enter the API key of this provider.")],
)
def test_what_a_kind_requires_is_said_at_its_field(owner, workspace, kind, words):
    fields = {"name": "mine", "kind": kind, "max_concurrency": 2, "is_active": "on"}
    assert words in owner.post(f"{PROVIDERS}add/?kind={kind}", fields).content.decode()
    assert not Provider.objects.exists()


def test_a_provider_that_was_added_is_shown_to_be_tried(owner, workspace):
    fields = {"name": "mine", "kind": "gemini", "credential": SECRET, "max_concurrency": 2, "is_active": "on"}
    shown = owner.post(f"{PROVIDERS}add/?kind=gemini", fields, follow=True)
    assert shown.redirect_chain[-1][0] == change("provider", Provider.objects.get())
    assert "mine is added with 3 models. Test its connection next." in shown.content.decode()


def test_a_credential_is_never_on_a_page(owner, remote):
    test = reverse("admin:providers_provider_test_connection", args=[remote.pk])
    pages = [PROVIDERS, change("provider", remote), test]
    for page in pages:
        content = owner.get(page).content.decode()
        assert SECRET not in content
        assert remote.credential_encrypted not in content


def test_the_list_says_whose_key_is_used(owner, remote, local, workspace):
    """The embedded engines need none; neither address nor key of its own: the environment's."""
    Provider.objects.create(workspace=workspace, name="own", kind="gemini")
    Provider.objects.create(workspace=workspace, name="typed", kind="gemini", base_url="https://8.8.8.8")
    page = owner.get(PROVIDERS).content.decode()
    assert all(words in page for words in ("stored", "not needed", "the site&#x27;s own", "missing"))


def test_its_page_leads_to_its_models_and_says_whether_its_calls_get_through(owner, local):
    page = owner.get(change("provider", local)).content.decode()
    assert f'href="{change("speechmodel", local.models.get(name="pocketsphinx"))}"' in page
    assert "get through" in page
    until = timezone.now() + timedelta(minutes=1)
    ProviderThrottle.objects.create(provider=local, backoff_until=until, message="429: slow down")
    assert (
        f"asked to wait until {until:%H:%M:%S}: 429: slow down" in owner.get(change("provider", local)).content.decode()
    )
    Provider.objects.update(is_active=False)
    for page in (PROVIDERS, change("provider", local)):
        assert "none: switched off" in owner.get(page).content.decode()


def test_an_empty_credential_keeps_the_stored_one_a_new_one_replaces_it_and_a_tick_removes_it(owner, remote):
    page = change("provider", remote)
    assert owner.post(page, fields(remote, max_concurrency=5, credential="")).status_code == 302
    remote.refresh_from_db()
    assert (remote.credential, remote.max_concurrency) == (SECRET, 5)
    owner.post(page, fields(remote, credential="new"))
    remote.refresh_from_db()
    assert remote.credential == "new"
    owner.post(page, fields(remote, remove_credential="on"))
    remote.refresh_from_db()
    assert not remote.has_credential


def test_a_refused_setting_is_said_at_its_field(owner, remote, local, settings):
    taken = owner.post(change("provider", remote), fields(remote, name="local"))
    assert "There is a provider &#x27;local&#x27; already." in taken.content.decode()
    settings.ALLOW_PRIVATE_ADDRESSES = False
    private = owner.post(change("provider", remote), fields(remote, base_url="http://10.0.0.1", credential="x"))
    assert "is not on the public network" in private.content.decode()
    moved = owner.post(change("provider", remote), fields(remote, base_url="https://8.8.8.8"))
    assert "Enter the credential again" in moved.content.decode()
    remote.refresh_from_db()
    assert (remote.name, remote.base_url) == ("remote", "http://127.0.0.1:9")


def test_the_embedded_provider_has_neither_address_nor_credential(owner, local):
    content = owner.get(change("provider", local)).content.decode()
    assert 'name="base_url"' not in content
    assert 'name="credential"' not in content
    assert owner.post(change("provider", local), fields(local, max_concurrency=9)).status_code == 302
    local.refresh_from_db()
    assert local.max_concurrency == 9


def test_test_connection_asks_first_and_then_shows_what_came_of_it(owner, local, engines):
    page = reverse("admin:providers_provider_test_connection", args=[local.pk])
    assert page in owner.get(change("provider", local)).content.decode()
    assert "It works." not in owner.get(page).content.decode()
    content = owner.post(page).content.decode()
    assert "It works." in content
    assert "characters heard" in content


def test_test_connection_shows_the_fault(owner, local):
    local.models.exclude(name="pocketsphinx").delete()
    local.models.update(upstream_name="whisper")
    content = owner.post(reverse("admin:providers_provider_test_connection", args=[local.pk])).content.decode()
    assert "It does not work." in content
    assert "no embedded engine" in content


def model_fields(model, **changes):
    return {
        "name": model.name,
        "upstream_name": model.upstream_name,
        "speech_to_text": "on",
        "supports_direct": "on",
        "languages": '["en"]',
        "options": "{}",
        "is_active": "on",
        "prices-TOTAL_FORMS": 0,
        "prices-INITIAL_FORMS": 0,
        **changes,
    }


def test_an_owner_adds_a_dated_price(owner, local):
    model = local.models.get(name="pocketsphinx")
    new = {"prices-0-unit": "audio_minute", "prices-0-usd": "0.006", "prices-0-valid_from": "2026-07-01"}
    answer = owner.post(change("speechmodel", model), model_fields(model, **new, **{"prices-TOTAL_FORMS": 1}))
    assert answer.status_code == 302
    assert str(Price.objects.get(valid_from="2026-07-01").usd) == "0.006000"


def test_prices_are_shown_to_the_cent_or_as_small_as_they_are(owner, local):
    model = local.models.get(name="pocketsphinx")
    for unit, usd in (("input_tokens", "0.5"), ("output_tokens", "0.00125")):
        Price.objects.create(model=model, unit=unit, usd=usd, valid_from="2026-01-01")
    shown = owner.get(MODELS).content.decode()
    for price in ("$0.00 a minute of audio", "$0.50 a million input tokens", "$0.00125 a million output tokens"):
        assert price in shown


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"options": '{"logfn": "/tmp/x"}'}, "Unknown options: logfn"),
        ({"options": "[1]"}, "Give an object"),
        ({"languages": '"en"'}, "Give a list of language tags"),
        ({"upstream_name": "whisper"}, "no embedded engine"),
    ],
)
def test_a_model_that_could_not_work_is_refused(owner, local, bad, words):
    model = local.models.get(name="pocketsphinx")
    assert words in owner.post(change("speechmodel", model), model_fields(model, **bad)).content.decode()


def test_an_owner_adds_a_model_only_to_the_workspaces_own_providers(owner, local, other_workspace):
    ensure_catalogue(workspace=other_workspace)
    theirs = Provider.objects.get(workspace=other_workspace)
    new = SpeechModel(name="new", upstream_name="pocketsphinx")
    assert owner.post(f"{MODELS}add/", model_fields(new, provider=theirs.pk)).status_code == 200
    assert owner.post(f"{MODELS}add/", model_fields(new, provider=local.pk)).status_code == 302
    assert SpeechModel.objects.get(name="new").provider == local


@pytest.mark.parametrize("role", [Role.EVALUATOR, Role.REVIEWER, Role.VIEWER])
def test_others_look_and_change_nothing(client, make_member, local, remote, role):
    client.force_login(make_member(role))
    model = local.models.get(name="pocketsphinx")
    for page in (change("provider", remote), change("speechmodel", model), PROVIDERS, MODELS):
        content = client.get(page).content.decode()
        assert 'name="_save"' not in content
        assert 'type="password"' not in content
    assert client.post(change("provider", remote), fields(remote, name="x")).status_code == 403
    assert client.post(change("speechmodel", model), model_fields(model, name="x")).status_code == 403
    assert client.get(f"{PROVIDERS}add/").status_code == 403
    assert client.post(reverse("admin:providers_provider_test_connection", args=[local.pk])).status_code == 403
    assert client.post(reverse("admin:providers_provider_delete", args=[local.pk]), {"post": "yes"}).status_code == 403


def test_the_question_before_deleting_names_models_and_no_rows_of_the_machinery(owner, local):
    ProviderThrottle.objects.create(provider=local)
    page = owner.get(f"{PROVIDERS}{local.pk}/delete/").content.decode()
    assert "local/pocketsphinx" in page
    assert "Speech models: 4" in page
    assert "gate of" not in page.lower()
    assert "Gates" not in page


def test_an_owner_deletes_a_provider(owner, local):
    answer = owner.post(reverse("admin:providers_provider_delete", args=[local.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert not Provider.objects.exists()


def test_another_workspaces_provider_does_not_exist(owner, other_workspace):
    ensure_catalogue(workspace=other_workspace)
    theirs = Provider.objects.get(workspace=other_workspace)
    unknown = owner.get(reverse("admin:providers_provider_change", args=[987654]))
    assert owner.get(change("provider", theirs)).status_code == unknown.status_code
    test = reverse("admin:providers_provider_test_connection", args=[theirs.pk])
    assert owner.post(test).status_code in (403, 404)
    assert "pocketsphinx" not in owner.get(PROVIDERS).content.decode()
    assert "pocketsphinx" not in owner.get(MODELS).content.decode()
