"""Sessions end by themselves, politely, and nobody holds one that they do not use."""

import asyncio
import base64
import json
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.live import live_site
from tests.voice.client import closed, connected
from tests.voice.conftest import make_pipelines
from tests.voice.speech import spoken
from tests.waiting import beside

MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    with live_site(tmp_path_factory.mktemp("site"), REALTIME_IDLE_SECONDS="3") as live:
        make_pipelines(live.workspace)
        yield live


def test_a_session_in_which_nothing_happens_ends_with_1001_and_its_reason(live, sessions):
    async def wait():
        async with connected(live) as client:
            end = await closed(client)
            return end, client.events[-1]

    (code, reason), last = asyncio.run(wait())
    assert (code, last["error"]["code"]) == (1001, "session_expired")
    assert "idle" in reason
    assert sessions()[0].end == "idle"


def test_an_append_of_15_mib_is_taken_and_a_larger_one_refused_while_the_session_goes_on(live, sessions):
    async def append():
        async with connected(live) as client:
            await client.send("session.update", session=MANUAL)
            await client.send("input_audio_buffer.append", audio=base64.b64encode(bytes(15 * MIB)).decode())
            await client.send("input_audio_buffer.clear")
            await client.until("input_audio_buffer.cleared", "error")
            await client.send("input_audio_buffer.append", audio=base64.b64encode(bytes(15 * MIB + 2)).decode())
            await client.until("error")
            await client.send("input_audio_buffer.clear")
            await client.until("input_audio_buffer.cleared")
            return client

    client = asyncio.run(append())
    assert len(client.named("error")) == 1
    assert sessions()[0].end == "client"


def test_a_frame_that_no_append_needs_ends_the_session_with_1009(live, sessions):
    async def append():
        async with connected(live) as client:
            with suppress(ConnectionClosed):
                await client.socket.send("x" * (22 * MIB))
            return await closed(client)

    assert asyncio.run(append())[0] == 1009
    assert sessions()[0].end == "protocol"


def test_who_asks_and_does_not_read_is_dropped(live, sessions):
    async def ask():
        async with connected(live) as client:
            text = "x" * 500_000
            item = {"id": "large", "type": "message", "role": "user"}
            await client.send(
                "conversation.item.create", item={**item, "content": [{"type": "input_text", "text": text}]}
            )
            question = json.dumps({"type": "conversation.item.retrieve", "item_id": "large"})
            client.socket.transport.pause_reading()
            for _ in range(120):  # 60 MB of answers
                await client.socket.send(question)
            await beside(sessions)
            client.socket.transport.abort()

    asyncio.run(ask())
    assert sessions()[0].end == "slow"


def test_a_restart_ends_sessions_with_1012_and_settles_what_was_under_way(live, studio, sessions):
    studio.settings(text="hello", hold_after=2, chat_text="One two three. Four five six.")

    async def stay():
        async with connected(live) as client:
            await client.send("session.update", session={**MANUAL, "stt_model": "studio/whisper"})
            await client.append(spoken("hello"))
            await client.send("input_audio_buffer.commit")
            await client.send("response.create")
            await client.until("response.output_audio_transcript.delta")
            live.process.terminate()
            return await closed(client)

    assert asyncio.run(stay())[0] == 1012
    (session,) = sessions()
    assert session.end == "restart"
    results = {record.endpoint: record.result for record in live.records(3, session_id=session.pk)}
    assert results == {"transcription": "success", "chat": "disconnected", "speech": "disconnected"}
    assert [turn.status for turn in session.turns.all()] == ["cancelled"]
