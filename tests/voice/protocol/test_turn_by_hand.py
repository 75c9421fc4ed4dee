"""A turn that the client commits, from the first event to the last."""

from tests.voice.protocol.talk import Talk, b64, error, pcm, types
from voice.protocol import runner_events
from voice.protocol.commands import Message, StartResponse, Transcribe
from voice.protocol.config import AudioFormat


def test_the_first_event_is_session_created(dialect):
    talk = Talk(dialect)
    assert types(talk.events) == ["session.created"]
    session = talk.events[0]["session"]
    assert session["object"] == "realtime.session"
    assert session["id"]
    assert session["stt_model"] == "whisper-1"
    assert session["tts_model"] == "tts-1"


def test_a_commit_makes_an_item_and_has_it_transcribed_and_starts_no_response(talk):
    assert talk.append(600) == []
    assert talk.append(400) == []
    events = talk.say("input_audio_buffer.commit")
    assert types(events) == talk.names(
        "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"
    )
    committed, added = events[:2]
    assert committed["previous_item_id"] is None
    assert added["item"]["id"] == committed["item_id"]
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]

    [order] = talk.ordered(Transcribe)
    assert (order.item_id, order.content_index, order.stt_model) == (committed["item_id"], 0, "whisper-1")
    assert order.audio == pcm(1000)
    assert order.input_format is AudioFormat.PCM16
    assert talk.ordered(StartResponse) == []


def test_a_transcription_is_told_as_it_is_written(talk):
    talk.append(500)
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    [delta] = talk.happen(runner_events.TranscriptionDelta(item_id, 0, "Hel"))
    assert (delta["type"], delta["item_id"], delta["delta"]) == (
        "conversation.item.input_audio_transcription.delta",
        item_id,
        "Hel",
    )
    [completed] = talk.happen(runner_events.Transcribed(item_id, 0, " Hello.", 0.5))
    assert completed["transcript"] == "Hello."
    assert completed["usage"] == {"type": "duration", "seconds": 0.5}
    [retrieved] = talk.say("conversation.item.retrieve", item_id=item_id)
    assert retrieved["item"]["content"] == [{"type": "input_audio", "transcript": "Hello."}]


def test_tokens_of_a_transcription_are_told_where_the_provider_counts_them(talk):
    talk.append(500)
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    [completed] = talk.happen(runner_events.Transcribed(item_id, 0, "Hello.", 0.5, 14, 3))
    assert completed["usage"] == {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}


def test_an_answer_in_speech_from_created_to_done(talk):
    user_id = talk.spoken_item("What is your name?")
    begun = talk.say("response.create", response={"metadata": {"client_event_id": "abc"}})
    assert types(begun) == ["response.created", "rate_limits.updated"]
    created = begun[0]["response"]
    assert (created["status"], created["output"]) == ("in_progress", [])
    assert created["metadata"] == {"client_event_id": "abc"}
    response_id = created["id"]

    first = talk.happen(runner_events.ChatText(response_id, "I am "))
    assert types(first) == talk.names(
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
    )
    assert first[0]["item"]["content"] == []
    assert first[1]["item"]["content"] == []
    assert first[1]["previous_item_id"] == user_id
    item_id = first[0]["item"]["id"]

    talk.happen(runner_events.ChatText(response_id, "Echo."))
    assert talk.happen(runner_events.SentenceStarted(response_id, "I am Echo.")) == []
    [audio] = talk.happen(runner_events.SpeechAudio(response_id, pcm(200)))
    assert audio["type"] == talk.name("response.output_audio.delta")
    assert audio["delta"] == b64(pcm(200))
    assert (audio["response_id"], audio["item_id"], audio["output_index"], audio["content_index"]) == (
        response_id,
        item_id,
        0,
        0,
    )

    talk.happen(runner_events.ResponseUsage(response_id, 12, 4))
    last = talk.happen(runner_events.ResponseFinished(response_id))
    assert types(last) == talk.names(
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    )
    done = last[-1]["response"]
    assert done["status"] == "completed"
    assert done["status_details"] is None
    assert done["usage"]["total_tokens"] == 16
    assert done["metadata"] == {"client_event_id": "abc"}
    kind = "output_audio" if talk.dialect == "ga" else "audio"
    assert done["output"][0]["content"] == [{"type": kind, "transcript": "I am Echo."}]
    assert done["output"][0]["status"] == "completed"


def test_an_answer_in_text_from_created_to_done(talk):
    talk.text_item("Say hello.")
    key = "output_modalities" if talk.dialect == "ga" else "modalities"
    response_id = talk.respond(**{key: ["text"]})
    events = talk.happen(runner_events.ChatText(response_id, "Hello."))
    events += talk.happen(runner_events.ResponseFinished(response_id))
    assert types(events) == talk.names(
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    )
    kind = "output_text" if talk.dialect == "ga" else "text"
    assert events[-1]["response"]["output"][0]["content"] == [{"type": kind, "text": "Hello."}]
    assert talk.ordered(StartResponse)[-1].modality == "text"


def test_a_response_waits_for_the_text_of_what_was_said(talk):
    talk.append(500)
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    response_id = talk.respond()
    assert talk.ordered(StartResponse) == []
    talk.happen(runner_events.Transcribed(item_id, 0, "Now?", 0.5))
    [order] = talk.ordered(StartResponse)
    assert order.response_id == response_id
    assert order.messages == (Message("user", "Now?"),)


def test_a_response_to_speech_that_cannot_be_transcribed_fails_with_the_reason(talk):
    talk.append(500)
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.respond()
    failed, done = talk.happen(runner_events.TranscriptionFailed(item_id, 0, "timeout", "The provider took too long."))
    assert failed["error"]["code"] == "timeout"
    assert done["response"]["status"] == "failed"
    assert done["response"]["status_details"]["error"]["code"] == "transcription_failed"
    assert talk.ordered(StartResponse) == []
    talk.text_item("Are you there?")
    assert talk.context() == [("user", "Are you there?")]


def test_context_is_kept_across_turns(talk):
    talk.update(instructions="Be brief.")
    talk.spoken_item("What is two and two?")
    talk.answer(("Four.", 500))
    talk.spoken_item("And two more?")
    assert talk.context() == [
        ("system", "Be brief."),
        ("user", "What is two and two?"),
        ("assistant", "Four."),
        ("user", "And two more?"),
    ]


def test_a_commit_of_under_100_ms_is_refused(talk):
    assert error(talk.say("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    talk.append(99)
    assert error(talk.say("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    talk.append(1)
    assert talk.say("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"


def test_what_was_cleared_is_not_committed(talk):
    talk.append(1000)
    assert types(talk.say("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert error(talk.say("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


def test_a_binary_frame_is_an_append(talk):
    talk.take(talk.wire.audio(pcm(500)))
    talk.append(500)
    talk.say("input_audio_buffer.commit")
    assert talk.ordered(Transcribe)[0].audio == pcm(1000)


def test_half_a_sample_is_kept_for_the_next_turn(talk):
    talk.take(talk.wire.audio(pcm(200) + b"\x01"))
    talk.say("input_audio_buffer.commit")
    talk.take(talk.wire.audio(b"\x00" + pcm(200)))
    talk.say("input_audio_buffer.commit")
    assert [len(order.audio) for order in talk.ordered(Transcribe)] == [len(pcm(200)), len(pcm(200)) + 2]


def test_g711_counts_eight_samples_a_ms(talk):
    if talk.dialect == "ga":
        talk.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    else:
        talk.update(input_audio_format="g711_ulaw")
    talk.take(talk.wire.audio(b"\xff" * 799))
    assert error(talk.say("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    talk.take(talk.wire.audio(b"\xff"))
    talk.say("input_audio_buffer.commit")
    [order] = talk.ordered(Transcribe)
    assert (len(order.audio), order.input_format) == (800, AudioFormat.ULAW)


def test_rate_limits_are_told_at_the_start_of_a_response(talk):
    talk.happen(runner_events.RateLimitsKnown((runner_events.RateLimit("requests", 60, 59, 1.0),)))
    _, limits = talk.say("response.create")
    assert limits["rate_limits"] == [{"name": "requests", "limit": 60, "remaining": 59, "reset_seconds": 1.0}]
