"""Names of models: what a workspace can ask for, what stands behind a name, and what happens when that fails."""

from collections import Counter
from contextlib import closing
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from accounts.models import Organization, Workspace
from gateway.catalog import ModelCatalog
from gateway.models import AliasTarget, ModelAlias
from providers.limits import SlotHolder
from providers.limits.circuit_breaker import FAILURES
from providers.models import Provider, ProviderThrottle, SpeechModel
from tests.audio import make_wav
from tests.gateway.live import make_alias, make_provider
from tests.waiting import wait_for

SPEECH = make_wav(0.5)


@pytest.fixture(scope="module")
def live(live):
    """With aliases, and a second provider behind them."""
    spare = make_provider(live.workspace, "spare", live.studio.url)
    SpeechModel.objects.create(provider=spare, name="hears", upstream_name="whisper-1", speech_to_text=True)
    make_alias(live.workspace, "hearing", "studio/transcribe", "spare/hears")
    make_alias(live.workspace, "mixed", "studio/voice", "studio/whisper")
    make_alias(live.workspace, "embedded-last", "studio/transcribe", "local/pocketsphinx")
    return live


@pytest.fixture(scope="module")
def http(live):
    with httpx.Client(base_url=live.api, headers={"Authorization": f"Bearer {live.key}"}, timeout=120) as client:
        ask(client, "studio/transcribe", stream="true")  # the first stream waits for OpenAI's SDK to be loaded
        yield client


def ask(http, model, request_id="", **fields):
    files, headers = {"file": ("upload", SPEECH)}, {"X-Request-Id": request_id}
    return http.post("/audio/transcriptions", data={"model": model, **fields}, files=files, headers=headers)


# --- the list ---------------------------------------------------------------------------------------


def test_the_list_holds_the_workspaces_models_and_aliases(http):
    listed = http.get("/models").json()
    assert listed["object"] == "list"
    by_id = {model["id"]: model for model in listed["data"]}
    assert by_id.keys() >= {"studio/whisper", "studio/voice", "local/pocketsphinx", "hearing", "whisper-1"}
    whisper = by_id["studio/whisper"]
    assert (whisper["object"], whisper["owned_by"], whisper["tasks"]) == ("model", "studio", ["stt", "translation"])
    assert whisper["created"] > 1_700_000_000
    assert by_id["hearing"]["models"] == ["studio/transcribe", "spare/hears"]


def test_a_model_is_shown_under_each_of_its_names(http):
    for name in ("studio/whisper", "studio%2Fwhisper", "whisper", "hearing"):
        answer = http.get(f"/models/{name}")
        assert answer.status_code == 200
        assert answer.json()["id"] == name.replace("%2F", "/")
    assert http.get("/models/nobody").json()["error"]["code"] == "model_not_found"


def test_another_workspaces_models_do_not_exist(live, http):
    slug = f"rival-{live.workspace.pk}"
    organization = Organization.objects.create(name=slug)
    rival = Workspace.objects.create(organization=organization, name="Rival", slug=slug)
    provider = Provider.objects.create(workspace=rival, name="secret", kind="local")
    SpeechModel.objects.create(provider=provider, name="engine", upstream_name="pocketsphinx", speech_to_text=True)
    theirs = {"Authorization": f"Bearer {live.make_key(workspace=rival)}"}
    listed = httpx.get(f"{live.api}/models", headers=theirs).json()["data"]
    assert [model["id"] for model in listed] == ["secret/engine"]
    assert ask(http, "secret/engine").status_code == 404
    assert ask(http, "engine").status_code == 404


def test_what_is_switched_off_does_not_exist(live, http):
    SpeechModel.objects.filter(provider__workspace=live.workspace, name="plain-voice").update(is_active=False)
    wait_for(lambda: http.get("/models/studio/plain-voice").status_code == 404)


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["studio/whisper", "whisper"])
def test_a_model_answers_to_its_name_with_and_without_its_provider(http, studio, name):
    assert ask(http, name).headers["x-earshot-model"] == "studio/whisper"


def test_of_an_alias_only_models_that_can_do_it_are_asked(http, studio):
    assert ask(http, "mixed").headers["x-earshot-model"] == "studio/whisper"


def offer(workspace, *names, aliases=()):
    for name in names:
        provider_name, _, model_name = name.partition("/")
        provider, _ = Provider.objects.get_or_create(workspace=workspace, name=provider_name, kind="local")
        SpeechModel.objects.create(provider=provider, name=model_name, upstream_name="x", speech_to_text=True)
    for alias in aliases:
        alias(workspace)
    models = SpeechModel.objects.for_workspace(workspace).usable()
    return ModelCatalog(list(models), list(ModelAlias.objects.for_workspace(workspace).with_targets()))


def test_a_name_that_two_providers_have_must_say_which(workspace):
    with pytest.raises(Exception, match="a/echo, b/echo") as refused:
        offer(workspace, "a/echo", "b/echo").find("echo")
    assert refused.value.status == 404


def test_an_alias_comes_before_a_model_of_the_same_name(workspace):
    found = offer(workspace, "a/echo", "b/other", aliases=[lambda w: make_alias(w, "echo", "b/other")]).find("echo")
    assert [target.name for target in found] == ["b/other"]


def test_an_alias_whose_models_are_all_off_is_not_there(workspace):
    makes = [lambda w: make_alias(w, "gone", "a/echo"), lambda w: SpeechModel.objects.update(is_active=False)]
    offered = offer(workspace, "a/echo", aliases=makes)
    assert offered.aliases == {}


def test_weights_say_how_often_each_model_comes_first(workspace):
    def weighted(workspace):
        alias = make_alias(workspace, "some", "a/one", "a/nine", strategy=ModelAlias.Strategy.WEIGHTED)
        AliasTarget.objects.filter(alias=alias, model__name="nine").update(weight=9)

    offered = offer(workspace, "a/one", "a/nine", aliases=[weighted])
    orders = [offered.find("some") for _ in range(2000)]
    assert {len(order) for order in orders} == {2}
    first = Counter(order[0].name for order in orders)
    assert 1700 < first["a/nine"] < 1900


# --- when one fails ---------------------------------------------------------------------------------

FAULTS = [
    {"what": "status", "status": 500},
    {"what": "status", "status": 429, "retry_after": 60},
    {"what": "status", "status": 401},
    {"what": "drop"},
    {"what": "garbage"},
]


def studio_row(live):
    return Provider.objects.get(workspace=live.workspace, name="studio")


def wait_until_held(live, provider_name):
    """What a provider asked for is told to all a moment after the answer: the next test must not come before."""
    gates = ProviderThrottle.objects.filter(provider__workspace=live.workspace, provider__name=provider_name)
    wait_for(lambda: gates.filter(backoff_until__isnull=False).exists())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stream", ["false", "true"])
def test_the_next_model_answers_when_one_fails(live, http, studio, fault, stream):
    studio.fault("transcriptions", match="gpt-4o-transcribe", **fault)
    request_id = f"next-{fault['what']}-{fault.get('status')}-{stream}"
    answer = ask(http, "hearing", request_id, stream=stream)
    assert (answer.status_code, answer.headers["x-earshot-model"]) == (200, "spare/hears")
    assert [call.fields["model"] for call in studio.calls] == [["gpt-4o-transcribe"], ["whisper-1"]]
    if "retry_after" in fault:
        wait_until_held(live, "studio")
    record = live.only_record(request_id=request_id)
    assert (record.model_name, record.served_by, record.result) == ("hearing", "spare/hears", "success")


def test_the_embedded_engine_answers_when_the_provider_is_away(http, studio):
    studio.fault("transcriptions", "status", status=503)
    assert ask(http, "embedded-last").headers["x-earshot-model"] == "local/pocketsphinx"


def test_a_request_that_is_refused_is_not_tried_elsewhere(live, http, studio):
    studio.fault("transcriptions", "status", status=400, message="No.")
    assert ask(http, "hearing").status_code == 400
    assert len(studio.calls) == 1


def test_the_last_failure_is_told_when_all_fail(live, http, studio):
    studio.fault("transcriptions", "status", status=500, match="gpt-4o-transcribe")
    studio.fault("transcriptions", "status", status=429, match="whisper-1", retry_after=9)
    answer = ask(http, "hearing", "all-fail")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "9")
    assert "x-earshot-model" not in answer.headers
    record = live.only_record(request_id="all-fail")
    assert (record.result, record.status, record.served_by) == ("failed", 429, "")
    wait_until_held(live, "spare")


def hold(live, seconds, **fields):
    """As another process does it whose call the provider has answered with that wish."""
    until = timezone.now() + timedelta(seconds=seconds)
    ProviderThrottle.objects.update_or_create(provider=studio_row(live), defaults={"backoff_until": until, **fields})


def test_a_provider_that_is_paused_is_not_called(live, http, studio):
    hold(live, 60, reason="provider_error")
    wait_for(lambda: ask(http, "embedded-last").headers["x-earshot-model"] == "local/pocketsphinx")
    studio.reset()
    assert ask(http, "hearing").headers["x-earshot-model"] == "spare/hears"
    studio.reset()
    for stream in ("false", "true"):
        answer = ask(http, "studio/whisper", stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_paused")
        assert 0 < int(answer.headers["retry-after"]) <= 60
    assert studio.calls == []


def test_a_provider_that_asks_for_a_pause_gets_it_from_everybody(live, http, studio):
    studio.fault("transcriptions", "status", status=429, match="whisper-1", retry_after=30)
    assert ask(http, "studio/whisper").headers["retry-after"] == "30"
    answer = ask(http, "studio/whisper", "held-back")
    assert answer.status_code == 429
    assert 20 < int(answer.headers["retry-after"]) <= 35
    assert len(studio.calls) == 1
    assert live.only_record(request_id="held-back").served_by == ""
    with closing(SlotHolder(studio_row(live).pk)) as worker:
        assert not worker.ready(wanted=5)
        assert worker.allocation.reason == "rate_limited"
        assert 20 < worker.wait < 35


def test_a_provider_that_fails_again_and_again_is_left_alone(live, http, studio):
    studio.fault("transcriptions", "status", status=503)
    statuses = [ask(http, "studio/whisper").status_code for _ in range(FAILURES + 1)]
    assert statuses == [502] * FAILURES + [503]
    assert len(studio.calls) == FAILURES


def test_calls_at_once_hold_for_workers_and_the_gateway_together(live, http, studio):
    Provider.objects.filter(pk=studio_row(live).pk).update(max_concurrency=3)
    worker = SlotHolder(studio_row(live).pk)
    wait_for(lambda: worker.ready(wanted=9) and worker.allocation.slots == 3)
    for _ in range(3):
        worker.begin()
    answer = ask(http, "studio/whisper")  # waits, and gives up
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) >= 1
    assert ask(http, "hearing").headers["x-earshot-model"] == "spare/hears"
    worker.close()
    assert ask(http, "studio/whisper").status_code == 200
    Provider.objects.filter(pk=studio_row(live).pk).update(max_concurrency=500)


def test_after_the_first_byte_nothing_else_is_tried(http, studio):
    studio.fault("transcriptions", "die", match="gpt-4o-transcribe")
    with pytest.raises(httpx.RemoteProtocolError):
        ask(http, "hearing", stream="true")
    assert len(studio.calls) == 1
