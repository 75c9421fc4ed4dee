"""The unmodified openai-python, in both dialects."""

import asyncio
import base64

import pytest
from openai import AsyncOpenAI

ANSWER = "Good morning. It is nine o'clock."
HEARD = "good morning to you"
GA_VAD = {"type": "server_vad", "silence_duration_ms": 400}
GA = {
    "by hand": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    "by vad": {"type": "realtime", "audio": {"input": {"turn_detection": GA_VAD}}},
}
BETA = {
    "by hand": {"modalities": ["text", "audio"], "turn_detection": None, "voice": "alloy"},
    "by vad": {"modalities": ["text", "audio"], "turn_detection": {"type": "server_vad", "silence_duration_ms": 400}},
}
AUDIO = {"ga": "response.output_audio.delta", "beta": "response.audio.delta"}
TRANSCRIPT = {"ga": "response.output_audio_transcript.done", "beta": "response.audio_transcript.done"}


class Talk:
    """One conversation, turn by turn."""

    def __init__(self, connection, dialect):
        self.connection, self.dialect = connection, dialect
        self.heard, self.said, self.audio = [], [], b""
        self.statuses = []

    async def say(self, samples, by_hand):
        for at in range(0, len(samples), 2400):
            audio = base64.b64encode(samples[at : at + 2400].tobytes()).decode()
            await self.connection.input_audio_buffer.append(audio=audio)
        if by_hand:
            await self.connection.input_audio_buffer.commit()
            await self.connection.response.create()
        async with asyncio.timeout(120):
            await self._listen()

    async def _listen(self):
        async for event in self.connection:
            assert event.type != "error", event
            if event.type == AUDIO[self.dialect]:
                self.audio += base64.b64decode(event.delta)
            elif event.type == TRANSCRIPT[self.dialect]:
                self.said.append(event.transcript)
            elif event.type == "conversation.item.input_audio_transcription.completed":
                self.heard.append(event.transcript)
            elif event.type == "response.done":
                self.statuses.append(event.response.status)
                return


def converse(live, turns, dialect, way):
    async def talk():
        address = live.api.replace("http", "ws", 1)
        async with AsyncOpenAI(api_key=live.key, base_url=live.api, websocket_base_url=address) as client:
            api = client.realtime if dialect == "ga" else client.beta.realtime
            async with api.connect(model="studio") as connection:
                await connection.session.update(session=(GA if dialect == "ga" else BETA)[way])
                talk = Talk(connection, dialect)
                for samples in turns:
                    await talk.say(samples, by_hand=way == "by hand")
                return talk

    return asyncio.run(talk())


@pytest.mark.parametrize("way", ["by hand", "by vad"])
@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_two_turns_are_spoken(live, turns, dialect, way):
    talk = converse(live, turns, dialect, way)
    assert talk.statuses == ["completed", "completed"]
    assert talk.heard == [HEARD, HEARD]
    assert talk.said == [ANSWER, ANSWER]
    assert len(talk.audio) > 24_000
