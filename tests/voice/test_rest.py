"""Voice pipelines and sessions over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Role
from providers.models import SpeechModel
from providers.services import ensure_catalogue
from voice.models import RealtimeSession, VoicePipeline

PIPELINES, SESSIONS = "/api/v1/pipelines/", "/api/v1/sessions/"
MODELS = {"stt_model": "local/pocketsphinx", "chat_model": "local/echo", "tts_model": "local/espeak-ng"}


@pytest.fixture
def owner(api_as, workspace):
    ensure_catalogue(workspace=workspace)
    return api_as(Role.OWNER)


def test_a_workspace_lists_a_pipeline_of_the_embedded_models_from_the_start(owner):
    (pipeline,) = owner.get(PIPELINES).json()["results"]
    assert (pipeline["name"], pipeline["is_default"], pipeline["chat_model"]) == ("default", True, "local/echo")


def test_an_owner_makes_changes_and_removes_a_pipeline(owner, workspace):
    owner.get(PIPELINES)
    made = owner.post(PIPELINES, {"name": "brief", "instructions": "Be brief.", **MODELS})
    assert made.status_code == 201, made.content
    one = made.headers["Location"]
    assert owner.get(one).json() == {**made.json(), **MODELS, "voice": "", "is_default": False}
    changed = owner.patch(one, {"voice": "en-us", "is_default": True}).json()
    assert (changed["instructions"], changed["voice"], changed["is_default"]) == ("Be brief.", "en-us", True)
    defaults = {each["name"]: each["is_default"] for each in owner.get(PIPELINES).json()["results"]}
    assert defaults == {"default": False, "brief": True}
    assert owner.delete(one).status_code == 204
    assert not VoicePipeline.objects.filter(workspace=workspace, name="brief").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stt_model": "local/echo"}, "stt_model"),
        ({"tts_model": "local/nobody"}, "tts_model"),
        ({"chat_model": 7}, "chat_model"),
        ({"chat_model": None}, "chat_model"),
        ({"name": "a/b"}, "name"),
        ({"voices": "alloy"}, "voices"),
    ],
)
def test_a_pipeline_that_cannot_work_is_refused_with_its_reason(owner, change, field):
    response = owner.post(PIPELINES, {"name": "brief", **MODELS, **change}, format="json")
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == field
    assert not VoicePipeline.objects.exists()


def test_a_pipelines_name_that_is_taken_is_a_conflict(owner):
    assert owner.post(PIPELINES, {"name": "brief", **MODELS}).status_code == 201
    response = owner.post(PIPELINES, {"name": "brief", **MODELS})
    assert response.status_code == 409
    assert response.json()["detail"] == "name: There is a pipeline 'brief' already."


def test_another_workspaces_model_is_unknown_to_pipelines(owner, other_workspace):
    ensure_catalogue(workspace=other_workspace)
    theirs = SpeechModel.objects.for_workspace(other_workspace).get(name="echo")
    theirs.provider.name = "theirs"
    theirs.provider.save()
    response = owner.post(PIPELINES, {"name": "brief", **MODELS, "chat_model": "theirs/echo"})
    assert response.status_code == 400
    assert "There is no model 'theirs/echo'" in response.json()["detail"]


def test_an_evaluator_reads_pipelines_and_changes_none(api, owner):
    owner.get(PIPELINES)
    (pipeline,) = api.get(PIPELINES).json()["results"]
    one = f"{PIPELINES}{pipeline['id']}/"
    assert api.get(one).json() == pipeline
    assert [api.patch(one, {"voice": "x"}).status_code, api.delete(one).status_code] == [403, 403]


@pytest.fixture
def talk(workspace):
    """talk(delay, ...) -> a session that has ended, with one answer for each delay; None: one that failed."""

    def make(*delays, **fields):
        now = timezone.now()
        usual = {"caller": "phone", "dialect": "ga", "kind": "realtime", "end": "client"}
        times = {"started_at": now, "seen_at": now, "ended_at": now}
        session = RealtimeSession.objects.create(workspace=workspace, **{**usual, **times, **fields})
        for delay in delays:
            status = "failed" if delay is None else "completed"
            session.turns.create(status=status, delay=delay, duration=1, started_at=now)
        return session

    return make


def test_sessions_are_listed_the_newest_first_with_their_turns_and_delays(api, talk):
    talk()
    talk(0.2, 0.4, None)
    newest, oldest = api.get(SESSIONS).json()["results"]
    assert (newest["caller"], newest["turns"], newest["failed_turns"]) == ("phone", 3, 1)
    assert (newest["delay_p50"], newest["delay_p95"]) == (0.2, 0.4)
    assert (oldest["turns"], oldest["delay_p50"]) == (0, None)
    assert api.get(f"{SESSIONS}{newest['id']}/").json() == newest


def test_turns_of_a_session_are_listed_in_their_order(api, talk):
    session = talk(0.2, None)
    turns = api.get(f"{SESSIONS}{session.pk}/turns/").json()["results"]
    assert [(turn["status"], turn["delay"]) for turn in turns] == [("completed", 0.2), ("failed", None)]


def test_a_session_is_under_way_as_long_as_its_process_says_so(api, talk):
    now = timezone.now()
    open_now = {"end": "", "ended_at": None}
    talk(**open_now, seen_at=now - timedelta(minutes=5))
    talk(**open_now, seen_at=now)
    assert [each["under_way"] for each in api.get(SESSIONS).json()["results"]] == [True, False]


def test_sessions_are_narrowed(api, talk):
    slow, beta = talk(end="slow"), talk(dialect="beta", started_at=timezone.now() - timedelta(days=2))
    for query, found in [
        ({"end": "slow"}, [slow.pk]),
        ({"dialect": "beta"}, [beta.pk]),
        ({"before": (timezone.now() - timedelta(days=1)).isoformat()}, [beta.pk]),
        ({"kind": "transcription"}, []),
    ]:
        assert [each["id"] for each in api.get(SESSIONS, query).json()["results"]] == found
    assert api.get(SESSIONS, {"end": "tired"}).status_code == 400


def test_sessions_are_for_evaluators_and_owners(api_as, talk):
    session = talk(0.2)
    for address in (SESSIONS, f"{SESSIONS}{session.pk}/", f"{SESSIONS}{session.pk}/turns/", PIPELINES):
        assert api_as(Role.REVIEWER).get(address).status_code == 403
