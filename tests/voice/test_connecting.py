"""Who may connect, how, and what they are told where they may not."""

import asyncio
import json

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from accounts.services import revoke_api_key
from gateway.models import Budget
from tests.gateway.live import live_site
from tests.voice.client import connected
from tests.voice.conftest import STUDIO, make_pipelines
from voice.models import RealtimeSession


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    with live_site(tmp_path_factory.mktemp("site"), REALTIME_SESSIONS_PER_KEY="3") as live:
        make_pipelines(live.workspace)
        yield live


def opened(live, query="", **options):
    """session.created of a connection, and the subprotocol that was answered."""

    async def connect():
        async with connected(live, query, **options) as client:
            return client.events[0]["session"], client.socket.subprotocol

    return asyncio.run(connect())


def refused(live, query="", **options):
    """The status, the error and the headers that a connection is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        opened(live, query, **options)
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"], response.headers


def test_a_bearer_key_opens_a_session_of_the_ga_dialect_with_the_default_pipeline(live):
    session, subprotocol = opened(live)
    assert session["object"] == "realtime.session"
    assert session["model"] == "studio"
    assert (session["stt_model"], session["llm_model"], session["tts_model"]) == STUDIO
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert subprotocol is None


def test_a_header_asks_for_the_beta_dialect(live):
    headers = {"Authorization": f"Bearer {live.key}", "OpenAI-Beta": "realtime=v1"}
    session, _ = opened(live, additional_headers=headers)
    assert session["input_audio_format"] == "pcm16"


@pytest.mark.parametrize("beta", [True, False])
def test_a_browser_gives_its_key_as_a_subprotocol_and_never_gets_it_back(live, beta):
    offered = ["realtime", f"openai-insecure-api-key.{live.key}", *(["openai-beta.realtime-v1"] if beta else [])]
    session, subprotocol = opened(live, subprotocols=offered, additional_headers={})
    assert subprotocol == "realtime"
    assert ("input_audio_format" in session) == beta


@pytest.mark.parametrize("scheme", ["", "Bearer%20"])
def test_a_key_in_the_address_opens_a_session_of_the_beta_dialect_and_is_in_no_log(live, scheme):
    session, _ = opened(live, f"?authorization={scheme}{live.key}&model=studio", additional_headers={})
    assert session["modalities"]
    assert live.key not in live.log.read_text()


def test_a_chat_model_can_be_named_in_place_of_a_pipeline(live):
    session, _ = opened(live, "?model=studio/chat")
    assert (session["model"], session["llm_model"], session["stt_model"]) == ("studio/chat", *STUDIO[1::-1])


def test_transcription_alone_needs_no_model(live):
    session, _ = opened(live, "?intent=transcription")
    assert session["type"] == "transcription"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobody's"}, {"Authorization": "Bearer ek_nobodys"}])
def test_without_a_valid_key_the_upgrade_is_refused_with_401(live, headers):
    status, error, answered = refused(live, additional_headers=headers)
    assert (status, error["code"]) == (401, "invalid_api_key")
    assert answered["content-type"] == "application/json"


def test_an_unknown_model_is_refused_with_404_and_those_that_there_are(live):
    status, error, _ = refused(live, "?model=gpt-nobody-knows")
    assert (status, error["code"]) == (404, "model_not_found")
    assert "studio" in error["message"]


def test_a_used_up_budget_is_refused_with_402(live):
    secret = live.make_key("poor")
    key = live.workspace.api_keys.get(name="poor")
    Budget.objects.create(workspace=live.workspace, api_key=key, monthly_usd=0)
    status, error, _ = refused(live, key=secret)
    assert (status, error["code"]) == (402, "budget_exceeded")


def test_a_key_beyond_its_rate_is_refused_with_429_and_when_to_come_again(live):
    secret = live.make_key("slow", requests_per_minute=1)
    opened(live, key=secret)
    status, error, headers = refused(live, key=secret)
    assert (status, error["code"]) == (429, "rate_limit_exceeded")
    assert int(headers["retry-after"]) > 0


def test_a_revoked_key_is_refused(live):
    secret = live.make_key("gone")
    revoke_api_key(api_key=live.workspace.api_keys.get(name="gone"))
    assert refused(live, key=secret)[0] == 401


def test_a_socket_elsewhere_is_told_where_it_belongs(live):
    async def connect():
        async with connected(live, "x"):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(connect())
    assert caught.value.response.status_code == 404
    assert b"/v1/realtime" in caught.value.response.body


def post(live, path, key=None, **body):
    headers = {"Authorization": f"Bearer {key or live.key}"}
    return httpx.post(f"{live.api}/realtime/{path}", json=body, headers=headers)


def test_a_client_secret_opens_sessions_that_begin_as_its_maker_said(live, sessions):
    wanted = {"type": "realtime", "model": "studio", "instructions": "Be brief.", "output_modalities": ["text"]}
    made = post(live, "client_secrets", session=wanted, expires_after={"anchor": "created_at", "seconds": 60}).json()
    assert made["value"].startswith("ek_")
    assert made["session"]["instructions"] == "Be brief."
    headers = {"Authorization": f"Bearer {made['value']}"}
    session, _ = opened(live, additional_headers=headers)
    assert (session["instructions"], session["output_modalities"]) == ("Be brief.", ["text"])
    (row,) = sessions()
    assert row.caller == "application"


def test_a_client_secret_of_the_beta_dialect_works_in_a_browser_of_either(live):
    made = post(live, "sessions", model="studio", modalities=["text"]).json()
    assert made["modalities"] == ["text"]
    offered = ["realtime", f"openai-insecure-api-key.{made['client_secret']['value']}"]
    session, _ = opened(live, subprotocols=offered, additional_headers={})
    assert session["output_modalities"] == ["text"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"seconds": 5}}, "expires_after.seconds"),
        ({"session": "loud"}, "session"),
        ({"session": {"model": 7}}, "session.model"),
    ],
)
def test_a_client_secret_that_makes_no_sense_is_refused_with_its_reason(live, body, param):
    answer = post(live, "client_secrets", **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_so_many_sessions_of_one_key_are_open_at_once_and_no_more(live, sessions):
    secret = live.make_key("crowd")

    async def crowd():
        clients = [connected(live, key=secret) for _ in range(4)]
        for client in clients[:3]:
            await client.__aenter__()
        with pytest.raises(InvalidStatus) as caught:
            await clients[3].__aenter__()
        for client in clients[:3]:
            await client.__aexit__(None, None, None)
        return json.loads(caught.value.response.body)["error"]

    assert asyncio.run(crowd())["code"] == "too_many_sessions"
    assert [row.end for row in sessions(3)] == [RealtimeSession.End.CLIENT] * 3
