"""Voice pipelines and the page to talk, as the roles see them."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role
from providers.models import SpeechModel
from providers.services import ensure_catalogue
from voice.admin.pipelines import PipelineForm
from voice.models import ClientSecret, RealtimeSession, VoicePipeline
from voice.tasks import sweep

TALK = "admin:voice_voicepipeline_talk"
SECRET = "admin:voice_voicepipeline_secret"


@pytest.fixture
def catalogue(workspace):
    ensure_catalogue(workspace=workspace)
    return {model.public_name: model for model in SpeechModel.objects.for_workspace(workspace)}


@pytest.fixture
def as_role(client, make_member):
    def sign_in(role):
        client.force_login(make_member(role))
        return client

    return sign_in


def test_a_workspace_has_a_pipeline_of_the_embedded_models_from_the_start(as_role, catalogue, workspace):
    page = as_role(Role.EVALUATOR).get(reverse("admin:voice_voicepipeline_changelist")).content.decode()
    assert "local/echo" in page
    pipeline = VoicePipeline.objects.get(workspace=workspace)
    assert (pipeline.name, pipeline.is_default) == ("default", True)


def test_an_evaluator_talks_with_a_key_of_their_own_that_is_soon_over(as_role, catalogue, workspace):
    client = as_role(Role.EVALUATOR)
    assert "local/pocketsphinx" in client.get(reverse(TALK)).content.decode()
    answer = client.post(reverse(SECRET))
    assert answer.json()["value"].startswith("ek_")
    secret = ClientSecret.objects.get(workspace=workspace)
    assert secret.user.username == "evaluator-speech"
    assert answer.json()["value"] not in (secret.secret_hash, str(secret.session))


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.VIEWER])
def test_who_may_not_call_models_may_not_talk(as_role, catalogue, role):
    client = as_role(role)
    assert client.get(reverse(TALK)).status_code == 403
    assert client.post(reverse(SECRET)).status_code == 403
    assert not ClientSecret.objects.exists()


def test_an_address_alone_makes_no_secret(as_role, catalogue):
    assert as_role(Role.EVALUATOR).get(reverse(SECRET)).status_code == 405


def test_an_owner_makes_another_pipeline_the_default(as_role, catalogue, workspace):
    client = as_role(Role.OWNER)
    client.get(reverse("admin:voice_voicepipeline_changelist"))
    models = {"stt_model": "local/pocketsphinx", "chat_model": "local/echo", "tts_model": "local/espeak-ng"}
    form = {place: catalogue[name].pk for place, name in models.items()}
    added = client.post(reverse("admin:voice_voicepipeline_add"), {**form, "name": "brief", "is_default": "on"})
    assert added.status_code == 302
    defaults = {pipeline.name: pipeline.is_default for pipeline in VoicePipeline.objects.for_workspace(workspace)}
    assert defaults == {"default": False, "brief": True}


def test_a_name_is_given_once(as_role, catalogue):
    client = as_role(Role.OWNER)
    client.get(reverse("admin:voice_voicepipeline_changelist"))
    form = dict.fromkeys(("stt_model", "chat_model", "tts_model"), catalogue["local/echo"].pk)
    page = client.post(reverse("admin:voice_voicepipeline_add"), {**form, "name": "default"}).content.decode()
    assert "There is a pipeline &#x27;default&#x27; already." in page


def test_a_name_that_was_taken_meanwhile_is_said_and_no_crash(as_role, catalogue, monkeypatch):
    client = as_role(Role.OWNER)
    client.get(reverse("admin:voice_voicepipeline_changelist"))
    models = {"stt_model": "local/pocketsphinx", "chat_model": "local/echo", "tts_model": "local/espeak-ng"}
    form = {place: catalogue[name].pk for place, name in models.items()}
    monkeypatch.setattr(PipelineForm, "clean_name", lambda form: form.cleaned_data["name"])  # looked at before
    page = client.post(reverse("admin:voice_voicepipeline_add"), {**form, "name": "default"}, follow=True)
    assert "There is a pipeline &#x27;default&#x27; already." in page.content.decode()
    assert VoicePipeline.objects.count() == 1


def test_a_session_whose_process_died_is_seen_as_lost_and_ended_by_the_sweep(as_role, workspace):
    def opened(seen_at):
        return RealtimeSession.objects.create(
            workspace=workspace, dialect="ga", kind="realtime", started_at=seen_at, seen_at=seen_at
        )

    now = timezone.now()
    lost, alive = opened(now - timedelta(minutes=5)), opened(now)
    client, died = as_role(Role.EVALUATOR), "The server&#x27;s process died"
    pages = [client.get(reverse("admin:voice_realtimesession_change", args=[each.pk])) for each in (lost, alive)]
    assert [died in page.content.decode() for page in pages] == [True, False]
    sweep()
    lost.refresh_from_db()
    alive.refresh_from_db()
    assert (lost.end, lost.ended_at) == ("lost", lost.seen_at)
    assert (alive.end, alive.ended_at) == ("", None)
