"""Whatever clients send, and whenever they leave: nothing breaks, nothing is stuck, nothing is left behind."""

import asyncio
import base64
import json
import random
import time

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.models import UsageRecord
from tests.voice.client import connected
from tests.voice.served import served_here
from tests.voice.speech import spoken
from tests.waiting import async_wait_for, wait_for
from voice.models import RealtimeSession

MANUAL = {"type": "realtime", "stt_model": "studio/whisper", "audio": {"input": {"turn_detection": None}}}
TYPES = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
    "nothing.known",
]


@pytest.fixture(scope="module")
def here(live):
    """The same site once more, served by a thread of this process, whose tasks can be counted."""
    with served_here(live) as site:
        yield site


@pytest.fixture(autouse=True)
def nothing_is_left(here, studio):
    """After each storm: the tasks of before it and no more, every session ended, every call settled."""
    studio.settings(text="hello there", chat_text="One two three. Four five six.", part_delay=0.005)
    before = here.tasks()
    yield
    wait_for(lambda: not RealtimeSession.objects.filter(ended_at=None).exists())
    wait_for(lambda: not UsageRecord.objects.filter(state="reserved").exists())
    wait_for(lambda: here.tasks() <= before)
    assert not RealtimeSession.objects.filter(end="fault").exists()
    assert "Traceback" not in here.log()


def value(chance):
    """Anything that JSON can hold."""
    plain = [
        None,
        True,
        7,
        -1.5,
        1e308,
        "",
        "x" * 50,
        "\ud7ff",
        "item_1",
        base64.b64encode(bytes(6000)).decode(),
        "%%%",
    ]
    if chance.random() < 0.2:
        return [value(chance) for _ in range(chance.randrange(3))]
    if chance.random() < 0.2:
        names = ["type", "id", "content", "audio", "input", "session", "turn_detection", "voice", "role"]
        return {chance.choice(names): value(chance) for _ in range(chance.randrange(4))}
    return chance.choice(plain)


def frame(chance):
    """Something that a client might send, or would never."""
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(
            ["", "{", "[]", "null", '"text"', "{}", '{"type": 7}', '{"type": "x", "x": NaN}', "[" * 5000]
        )
    if kind < 0.2:
        return bytes(chance.randrange(5000))
    names = [
        "session",
        "audio",
        "item",
        "item_id",
        "content_index",
        "audio_end_ms",
        "response",
        "response_id",
        "event_id",
    ]
    event = {name: value(chance) for name in chance.sample(names, chance.randrange(4))}
    return json.dumps({**event, "type": chance.choice(TYPES)})


async def drained(client):
    """Read until the connection ends."""
    try:
        while True:
            await client.next()
    except (ConnectionClosed, TimeoutError):
        pass


@pytest.mark.parametrize("seed", range(4))
def test_random_frames_are_answered_and_a_good_question_still_is(here, seed):
    chance = random.Random(seed)

    async def storm():
        async with connected(here) as client:
            reading = asyncio.create_task(drained(client))
            for _ in range(400):
                await client.socket.send(frame(chance))
            await client.send("conversation.item.retrieve", item_id="nobody's", event_id="last")
            await async_wait_for(
                lambda: any(event.get("error", {}).get("event_id") == "last" for event in client.events)
            )
            await client.socket.close()
            await reading

    asyncio.run(storm())


def test_ten_thousand_events_in_a_row_are_each_answered(here):
    async def storm():
        async with connected(here) as client:
            reading = asyncio.create_task(drained(client))
            for number in range(10_000):
                await client.send("input_audio_buffer.clear" if number % 2 else "response.cancel")
            await async_wait_for(lambda: len(client.events) >= 10_001)
            await client.socket.close()
            await reading
            return client

    client = asyncio.run(storm())
    assert len(client.named("input_audio_buffer.cleared")) == len(client.named("error")) == 5000


POINTS = [
    "session.created",
    "session.updated",
    "input_audio_buffer.committed",
    "response.created",
    "conversation.item.input_audio_transcription.completed",
    "response.output_item.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.done",
]


@pytest.mark.parametrize("way", ["abort", "close"])
def test_a_client_may_leave_at_every_point_of_a_turn(here, way):
    async def leave(point):
        async with connected(here) as client:
            if point != "session.created":
                await client.send("session.update", session=MANUAL)
                await client.append(spoken("hello"))
                await client.send("input_audio_buffer.commit")
                await client.send("response.create")
                await client.until(point)
            if way == "abort":
                client.socket.transport.abort()

    async def everywhere():
        await asyncio.gather(*(leave(point) for point in POINTS))

    asyncio.run(everywhere())


def test_many_sessions_come_and_go(here):
    async def visit():
        async with connected(here) as client:
            await client.send("session.update", session=MANUAL)
            await client.append(spoken("hello"))

    async def visits():
        for _ in range(10):
            await asyncio.gather(*(visit() for _ in range(10)))

    asyncio.run(visits())


@pytest.mark.parametrize(
    "events",
    [
        ["response.create", "response.create", "response.cancel"],
        ["response.cancel", "response.create", "response.cancel", "response.cancel"],
        ["input_audio_buffer.commit", "response.create", "input_audio_buffer.commit", "response.create"],
    ],
)
def test_races_leave_a_session_that_answers(here, events):
    async def race():
        async with connected(here) as client:
            await client.send("session.update", session=MANUAL)
            await client.append(spoken("hello"))
            for type in events:
                await client.send(type)
            await client.send("response.cancel")
            await client.send("conversation.item.retrieve", item_id="nobody's", event_id="last")
            while (await client.until("error"))["error"]["event_id"] != "last":
                pass
            return await client.say(spoken("hello"))

    begun = time.monotonic()
    done = asyncio.run(race())
    assert done["response"]["status"] in ("completed", "cancelled")
    assert time.monotonic() - begun < 120
