"""A spoken conversation over a real socket."""

import asyncio

import numpy as np

from tests.gateway.realtime.client import connected
from tests.gateway.realtime.conftest import STUDIO
from tests.gateway.realtime.speech import spoken

SILENCE = np.zeros(24_000, np.int16)
MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}


def test_what_is_said_is_answered_in_speech(live, studio, sessions):
    studio.settings(text="hello there. how are you?")

    async def converse():
        async with connected(live) as client:
            await client.send("session.update", session=MANUAL)
            done = await client.say(spoken("hello"))
            return client, done

    client, done = asyncio.run(converse())
    assert done["response"]["status"] == "completed"
    assert len(client.audio()) > 24_000
    (session,) = sessions()
    (turn,) = session.turns.all()
    assert (turn.status, turn.stt_model, turn.chat_model, turn.tts_model) == ("completed", *STUDIO)
    assert 0 < turn.transcribed_after < turn.delay < turn.duration
    records = live.records(3, session_id=session.pk)
    assert sorted((record.endpoint, record.served_by) for record in records) == sorted(
        zip(["transcription", "chat", "speech"], STUDIO, strict=True)
    )
