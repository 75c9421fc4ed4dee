"""Answers over a real socket: streamed all the way, stopped at once, and paid for once."""

import asyncio
import base64

import numpy as np
import pytest

from tests.voice.client import connected
from tests.voice.conftest import STUDIO
from tests.voice.speech import spoken
from tests.waiting import beside, wait_for
from voice.audio import pcm
from voice.protocol.config import AudioFormat

# A model that answers at once, so that streams which are held are those of the answer.
BY_HAND = {"type": "realtime", "stt_model": "studio/whisper", "audio": {"input": {"turn_detection": None}}}
BY_VAD = {
    "type": "realtime",
    "stt_model": "studio/whisper",
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}},
}
SILENCE = np.zeros(24_000, np.int16)
HELLO = "hello"


@pytest.fixture(autouse=True)
def words(studio):
    studio.settings(text="hello there", chat_text="One two three. Four five six.", parts=4)


def talk(live, conversation, session=BY_HAND):
    """What `conversation(client)` gives, in a session of those settings."""

    async def run():
        async with connected(live) as client:
            await client.send("session.update", session=session)
            await client.until("session.updated")
            return await conversation(client)

    return asyncio.run(run())


async def eventually(condition):
    await beside(lambda: wait_for(condition))


def test_what_is_said_is_answered_in_speech(live, studio, sessions):
    async def conversation(client):
        done = await client.say(spoken(HELLO))
        return client, done

    client, done = talk(live, conversation)
    assert done["response"]["status"] == "completed"
    assert len(client.audio()) > 24_000
    (session,) = sessions()
    (turn,) = session.turns.all()
    models = ("studio/whisper", *STUDIO[1:])
    assert (turn.status, turn.stt_model, turn.chat_model, turn.tts_model) == ("completed", *models)
    assert 0 < turn.transcribed_after < turn.delay < turn.duration
    records = live.records(3, session_id=session.pk)
    assert sorted((record.endpoint, record.served_by) for record in records) == sorted(
        zip(["transcription", "chat", "speech"], models, strict=True)
    )


def test_half_a_letter_of_a_model_stops_no_answer(live, studio):
    studio.settings(text="hello \ud83d there", chat_text="One \ud83d two three.")

    async def conversation(client):
        return await client.say(spoken(HELLO)), client

    done, client = talk(live, conversation)
    assert done["response"]["status"] == "completed"
    (heard,) = client.named("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == "hello \ufffd there"
    assert done["response"]["output"][0]["content"][0]["transcript"] == "One \ufffd two three."


async def ask(client, samples=None):
    await client.append(spoken(HELLO) if samples is None else samples)
    await client.send("input_audio_buffer.commit")
    await client.send("response.create")


def test_the_first_sentence_is_spoken_while_the_chat_model_still_writes(live, studio):
    async def conversation(client):
        studio.settings(hold_after=4)  # words of the chat model; of the voice there are fewer parts
        await ask(client)
        await client.until("response.output_audio.delta")
        still_writing = await beside(lambda: studio.open_streams)
        heard_so_far = "".join(event["delta"] for event in client.named("response.output_audio_transcript.delta"))
        await beside(studio.release)
        done = await client.until("response.done")
        return still_writing, heard_so_far, done["response"]["status"]

    still_writing, heard_so_far, status = talk(live, conversation)
    assert still_writing == 1
    assert "One two three." in heard_so_far
    assert "six" not in heard_so_far
    assert status == "completed"


def test_no_piece_of_audio_is_longer_than_200_ms_and_none_is_lost(live, studio):
    studio.settings(parts=1, chat_text="One two three four five six seven eight nine ten eleven twelve.")

    async def conversation(client):
        await ask(client)
        await client.until("response.done")
        return [base64.b64decode(event["delta"]) for event in client.named("response.output_audio.delta")]

    pieces = talk(live, conversation)
    assert max(len(piece) for piece in pieces) <= 9600
    seconds = len(b"".join(pieces)) / 48_000
    assert seconds == pytest.approx(0.06 * 62, rel=0.1)  # as the stand-in speaks


def test_cancelling_stops_the_providers_streams_at_once_and_the_session_goes_on(live, studio, sessions):
    async def conversation(client):
        studio.settings(hold_after=2)
        await ask(client)
        await client.until("response.output_audio_transcript.delta")
        await eventually(lambda: studio.open_streams == 1)
        asked = asyncio.get_running_loop().time()
        await client.send("response.cancel")
        done = await client.until("response.done")
        await eventually(lambda: studio.open_streams == 0)
        took = asyncio.get_running_loop().time() - asked
        studio.settings(hold_after=None)
        again = await client.say(spoken(HELLO))
        return done["response"], took, again["response"]["status"]

    response, took, again = talk(live, conversation)
    assert response["status"] == "cancelled"
    assert response["status_details"]["reason"] == "client_cancelled"
    assert took < 2  # on a busy machine; how long it really takes is measured in bench/
    assert again == "completed"
    (session,) = sessions()
    assert [turn.status for turn in session.turns.all()] == ["cancelled", "completed"]
    results = [(record.endpoint, record.result) for record in live.records(6, session_id=session.pk)]
    assert sorted(results[:3]) == [("chat", "cancelled"), ("speech", "cancelled"), ("transcription", "success")]
    assert {result for _, result in results[3:]} == {"success"}


def test_speaking_interrupts_the_answer_and_what_was_not_heard_leaves_the_context(live, studio, sessions):
    async def conversation(client):
        studio.settings(hold_after=2)
        await client.append(np.concatenate([spoken("good morning to you"), SILENCE]))
        await client.until("response.output_audio_transcript.delta")
        await client.append(spoken("what time is it now"))
        done = await client.until("response.done")
        await eventually(lambda: studio.open_streams == 0)
        studio.settings(hold_after=None)
        await client.append(SILENCE)
        await client.until("response.done")
        return client, done["response"]

    client, response = talk(live, conversation, BY_VAD)
    assert response["status"] == "cancelled"
    assert response["status_details"]["reason"] == "turn_detected"
    assert len(client.named("input_audio_buffer.speech_started")) == 2
    asked = [call.fields["messages"] for call in studio.calls if call.operation == "chat"]
    assert [message["role"] for message in asked[-1]].count("user") == 2
    assert "six" not in str(asked[-1])
    (session,) = sessions()
    assert [turn.status for turn in session.turns.all()] == ["cancelled", "completed"]


def test_a_dropped_socket_closes_the_streams_and_is_paid_for_once(live, studio, sessions):
    async def conversation(client):
        studio.settings(hold_after=2)
        await ask(client)
        await client.until("response.output_audio_transcript.delta")
        client.socket.transport.abort()

    talk(live, conversation)
    wait_for(lambda: studio.open_streams == 0)
    (session,) = sessions()
    assert session.end == "dropped"
    results = {record.endpoint: record.result for record in live.records(3, session_id=session.pk)}
    assert results == {"transcription": "success", "chat": "disconnected", "speech": "disconnected"}


@pytest.mark.parametrize("operation", ["transcriptions", "chat", "speech"])
def test_a_provider_that_fails_is_told_of_and_the_session_goes_on(live, studio, sessions, operation):
    async def conversation(client):
        studio.fault(operation, "status", status=400, message="no such thing")
        done = (await client.say(spoken(HELLO)))["response"]
        studio.clear_faults()
        again = await client.say(spoken(HELLO))
        return client, done, again["response"]["status"]

    client, done, again = talk(live, conversation)
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["code"]
    assert again == "completed"
    assert len(client.named("conversation.item.input_audio_transcription.failed")) == (operation == "transcriptions")
    (session,) = sessions()
    assert [turn.status for turn in session.turns.all()][-1] == "completed"
    assert "failed" in [turn.status for turn in session.turns.all()]
    endpoint = {"transcriptions": "transcription", "chat": "chat", "speech": "speech"}[operation]
    results = [record.result for record in live.records(2, session_id=session.pk, endpoint=endpoint)]
    assert results == ["failed", "success"]


def test_a_provider_that_is_paused_is_told_of_and_the_session_goes_on(live, studio, sessions):
    async def conversation(client):
        studio.fault("chat", "status", status=429, retry_after=30)
        await client.say(spoken(HELLO))
        calls = len(studio.calls)
        done = (await client.say(spoken(HELLO)))["response"]
        called = len(studio.calls) - calls
        studio.clear_faults()
        await beside(live.let_calls_through)
        again = await client.say(spoken(HELLO))
        return client, done, called, again["response"]["status"]

    client, done, called, again = talk(live, conversation)
    assert done["status"] == "failed"
    (untold,) = client.named("conversation.item.input_audio_transcription.failed")
    assert untold["error"]["code"] == "rate_limit_exceeded"
    assert "takes no more calls" in untold["error"]["message"]
    assert called == 0
    assert again == "completed"


def test_text_alone_is_not_spoken(live, studio, sessions):
    async def conversation(client):
        await client.send("conversation.item.create", item=user("How are you?"))
        await client.send("response.create", response={"output_modalities": ["text"]})
        done = await client.until("response.done")
        return done["response"]["output"][0]["content"][0]["text"]

    assert talk(live, conversation) == "One two three. Four five six."
    (session,) = sessions()
    assert [record.endpoint for record in live.records(1, session_id=session.pk)] == ["chat"]


def user(text):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def test_a_response_out_of_band_leaves_no_trace_and_echoes_its_metadata(live, studio):
    async def conversation(client):
        question = {"conversation": "none", "metadata": {"topic": "weather"}, "input": [user("Is it raining?")]}
        await client.send("response.create", response={**question, "output_modalities": ["text"]})
        created = await client.until("response.created")
        await client.until("response.done")
        await client.send("conversation.item.create", item=user("And now?"))
        await client.send("response.create", response={"output_modalities": ["text"]})
        await client.until("response.done")
        return created["response"]["metadata"]

    assert talk(live, conversation) == {"topic": "weather"}
    asked = [call.fields["messages"] for call in studio.calls if call.operation == "chat"]
    assert "raining" in str(asked[0])
    assert "raining" not in str(asked[1])


def test_the_context_is_kept_from_turn_to_turn(live, studio):
    async def conversation(client):
        await client.say(spoken(HELLO))
        await client.say(spoken(HELLO))

    talk(live, conversation)
    asked = [call.fields["messages"] for call in studio.calls if call.operation == "chat"]
    assert [message["role"] for message in asked[1]] == ["user", "assistant", "user"]
    assert asked[1][1]["content"] == "One two three. Four five six."


def test_a_transcription_session_only_writes_down(live, studio, sessions):
    async def run():
        async with connected(live, "?intent=transcription") as client:
            wanted = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
            await client.send("session.update", session=wanted)
            await client.append(spoken(HELLO))
            await client.send("input_audio_buffer.commit")
            done = await client.until("conversation.item.input_audio_transcription.completed")
            return done["transcript"]

    assert asyncio.run(run()) == "hello there"
    (session,) = sessions()
    assert (session.kind, session.chat_model) == ("transcription", "")
    (turn,) = session.turns.all()
    assert (turn.status, turn.stt_model, turn.chat_model) == ("completed", STUDIO[0], "")
    assert [record.endpoint for record in live.records(1, session_id=session.pk)] == ["transcription"]


@pytest.mark.parametrize(("name", "audio_format"), [("audio/pcmu", AudioFormat.ULAW), ("audio/pcma", AudioFormat.ALAW)])
def test_a_telephone_talks_by_binary_frames(live, studio, name, audio_format):
    wanted = {
        "type": "realtime",
        "audio": {"input": {"format": {"type": name}, "turn_detection": None}, "output": {"format": {"type": name}}},
    }

    async def conversation(client):
        resampler = pcm.Resampler(24_000, 8_000)
        said = pcm.encode(resampler.push(spoken(HELLO)), audio_format)
        for at in range(0, len(said), 800):
            await client.socket.send(said[at : at + 800])
        await client.send("input_audio_buffer.commit")
        await client.send("response.create")
        await client.until("response.done")
        return len(said), client.audio()

    said, answered = talk(live, conversation, wanted)
    assert len(answered) == pytest.approx(0.06 * 29 * 8000, rel=0.1)
    assert np.abs(pcm.decode(answered, audio_format)).max() > 1000
    (heard,) = [call for call in studio.calls if call.operation == "transcriptions"]
    assert heard.file.head == "RIFF"
    assert heard.file.size == 44 + 2 * said


def test_what_a_provider_hears_is_a_whole_wav_file(live, studio):
    talk(live, lambda client: client.say(spoken(HELLO)))
    (heard,) = [call for call in studio.calls if call.operation == "transcriptions"]
    assert heard.file.head == "RIFF"
    assert heard.file.size == 44 + 2 * len(spoken(HELLO))
