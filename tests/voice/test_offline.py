"""Without any key: what the embedded engines offer makes a conversation, and nothing of it is in a log."""

import asyncio

import pytest

from tests.gateway.live import live_site
from tests.voice.client import connected
from tests.voice.speech import spoken
from voice.models import VoicePipeline


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    with live_site(tmp_path_factory.mktemp("site"), LOG_LEVEL="DEBUG") as site:
        yield site


def test_a_new_workspace_answers_speech_with_speech_and_logs_nothing_of_it(live):
    async def converse():
        async with connected(live, f"?authorization={live.key}", additional_headers={}) as client:
            await client.send("session.update", session={"turn_detection": None, "voice": "alloy"})
            await client.append(spoken("we will go to the city in the morning"))
            await client.send("input_audio_buffer.commit")
            await client.send("response.create")
            await client.until("response.done")
            return client

    client = asyncio.run(converse())
    done = client.events[-1]["response"]
    assert done["status"] == "completed", done
    heard = client.named("conversation.item.input_audio_transcription.completed")[0]["transcript"]
    said = client.named("response.audio_transcript.done")[0]["transcript"]
    assert "morning" in heard
    assert said.strip() == heard.strip()  # the model says again what it heard
    assert len(client.audio("response.audio.delta")) > 24_000
    pipeline = VoicePipeline.objects.get(workspace=live.workspace)
    assert pipeline.is_default
    assert {pipeline.stt_model.provider.name, pipeline.tts_model.provider.name} == {"local"}
    log = live.log.read_text()
    assert "morning" not in log
    assert live.key not in log
    assert client.named("response.audio.delta")[0]["delta"][:60] not in log
