"""Turns that the server finds by itself, and interruptions."""

import pytest

from tests.voice.protocol.talk import Talk, b64, error, pcm, types
from voice.protocol import runner_events
from voice.protocol.commands import CancelResponse, DetectTurns, Listen, StartResponse, Transcribe
from voice.protocol.config import Limits


def turn(talk, text="Hello.", start=1000, stop=2000):
    """Speech from `start` to `stop`, transcribed. Returns all events."""
    events = talk.append(stop)
    events += talk.happen(runner_events.SpeechStarted(start))
    events += talk.happen(runner_events.SpeechStopped(stop))
    order = talk.ordered(Transcribe)[-1]
    return events + talk.happen(runner_events.Transcribed(order.item_id, 0, text, 1.0))


def detection(talk, **changes):
    settings = {"type": "server_vad", **changes}
    if talk.dialect == "ga":
        talk.update(audio={"input": {"turn_detection": settings}})
    else:
        talk.update(turn_detection=settings)


def test_a_turn_from_speech_to_answer(listening):
    talk = listening
    assert talk.append(700) == []
    [started] = talk.happen(runner_events.SpeechStarted(500))
    assert started["type"] == "input_audio_buffer.speech_started"
    assert started["audio_start_ms"] == 200, "the padding belongs to the turn"
    talk.append(1300)
    events = talk.happen(runner_events.SpeechStopped(1800))
    assert types(events) == talk.names(
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "rate_limits.updated",
    )
    stopped, committed = events[:2]
    assert stopped["audio_end_ms"] == 1800
    assert stopped["item_id"] == committed["item_id"] == started["item_id"] == events[2]["item"]["id"]
    [order] = talk.ordered(Transcribe)
    assert len(order.audio) == len(pcm(1600))

    events = talk.happen(runner_events.Transcribed(order.item_id, 0, "Hello.", 1.6))
    assert types(events) == ["conversation.item.input_audio_transcription.completed"]
    [start] = talk.ordered(StartResponse)
    assert start.messages[-1].text == "Hello."
    talk.speak(start.response_id, ("Hi.", 300))
    assert talk.happen(runner_events.ResponseFinished(start.response_id))[-1]["response"]["status"] == "completed"


def test_the_detector_gets_all_audio_with_its_place_in_time(listening):
    listening.append(100)
    listening.append(50)
    assert [(order.at_ms, len(order.audio)) for order in listening.ordered(Listen)] == [
        (0.0, len(pcm(100))),
        (100.0, len(pcm(50))),
    ]
    [detect] = listening.ordered(DetectTurns)
    assert detect.settings.silence_duration_ms == 500


def test_the_detector_gets_whole_samples_however_the_audio_is_cut(listening):
    for piece in (b"\x01", b"\x00\x02\x00\x03", b"\x00"):
        listening.take(listening.wire.audio(piece))
    assert [(order.audio, round(order.at_ms * 24)) for order in listening.ordered(Listen)] == [
        (b"\x01\x00\x02\x00", 0),
        (b"\x03\x00", 2),
    ]


def test_without_create_response_nothing_is_answered(listening):
    detection(listening, create_response=False)
    turn(listening)
    assert listening.ordered(StartResponse) == []
    assert listening.context() == [("user", "Hello.")]


def test_speech_interrupts_the_answer(listening):
    talk = listening
    turn(talk)
    [start] = talk.ordered(StartResponse)
    talk.speak(start.response_id, ("I will tell you a story. ", 1000), ("Once upon a time. ", 800))
    talk.happen(runner_events.ChatText(start.response_id, "It ends here."))
    talk.append(1000)
    events = talk.happen(runner_events.SpeechStarted(2600))
    assert types(events) == talk.names(
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    )
    done = events[-1]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert talk.ordered(CancelResponse) == [CancelResponse(start.response_id)]


def test_what_was_not_spoken_is_no_part_of_the_context(listening):
    talk = listening
    turn(talk)
    [start] = talk.ordered(StartResponse)
    talk.speak(start.response_id, ("One two three. ", 1000), ("Four five six. ", 1000))
    talk.happen(runner_events.ChatText(start.response_id, "Seven eight nine."))
    talk.append(1000)
    talk.happen(runner_events.SpeechStarted(2600))
    talk.happen(runner_events.SpeechStopped(2900))
    talk.happen(runner_events.Transcribed(talk.ordered(Transcribe)[-1].item_id, 0, "Stop.", 1.0))
    messages = [(message.role, message.text) for message in talk.ordered(StartResponse)[-1].messages]
    assert messages == [("user", "Hello."), ("assistant", "One two three. Four five six."), ("user", "Stop.")]


def test_late_words_of_an_interrupted_answer_are_not_told(listening):
    talk = listening
    turn(talk)
    [start] = talk.ordered(StartResponse)
    talk.append(1000)
    talk.happen(runner_events.SpeechStarted(2600))
    for late in (
        runner_events.ChatText(start.response_id, "Late."),
        runner_events.SentenceStarted(start.response_id, "Late."),
        runner_events.SpeechAudio(start.response_id, pcm(10)),
        runner_events.ResponseUsage(start.response_id, 1, 1),
        runner_events.ResponseFailed(start.response_id, "late", "Late."),
        runner_events.ResponseFinished(start.response_id),
    ):
        assert talk.happen(late) == []


def test_speech_before_the_text_is_known_ends_the_answer_that_waits(listening):
    talk = listening
    talk.append(3000)
    talk.happen(runner_events.SpeechStarted(500))
    created = talk.happen(runner_events.SpeechStopped(1500))[-2]["response"]
    events = talk.happen(runner_events.SpeechStarted(2000))
    assert types(events) == ["input_audio_buffer.speech_started", "response.done"]
    assert (events[1]["response"]["id"], events[1]["response"]["status"]) == (created["id"], "cancelled")
    assert talk.ordered(CancelResponse) == [], "it was never begun"


def test_without_interrupt_response_the_answer_goes_on(listening):
    talk = listening
    detection(talk, interrupt_response=False)
    turn(talk)
    [start] = talk.ordered(StartResponse)
    talk.append(1000)
    assert types(talk.happen(runner_events.SpeechStarted(2600))) == ["input_audio_buffer.speech_started"]
    assert "response.created" not in types(talk.happen(runner_events.SpeechStopped(2900)))
    talk.speak(start.response_id, ("Still here.", 100))
    assert talk.happen(runner_events.ResponseFinished(start.response_id))[-1]["response"]["status"] == "completed"


def test_noise_without_words_is_answered_with_nothing(listening):
    events = turn(listening, text="  ")
    assert events[-1]["type"] == "response.done"
    assert (events[-1]["response"]["status"], events[-1]["response"]["output"]) == ("completed", [])
    assert listening.ordered(StartResponse) == []


def test_silence_lets_the_buffer_go_but_for_the_padding(listening):
    talk = listening
    talk.append(5000)
    talk.happen(runner_events.SilenceHeard(5000))
    talk.append(1000)
    [started] = talk.happen(runner_events.SpeechStarted(5400))
    assert started["audio_start_ms"] == 5100
    talk.happen(runner_events.SpeechStopped(6000))
    assert len(talk.ordered(Transcribe)[0].audio) == len(pcm(900))


def test_two_turns_in_one_append_are_two_items(listening):
    talk = listening
    detection(talk, create_response=False)
    talk.append(6000)
    talk.happen(runner_events.SpeechStarted(500))
    first = talk.happen(runner_events.SpeechStopped(2000))
    talk.happen(runner_events.SpeechStarted(3000))
    second = talk.happen(runner_events.SpeechStopped(5000))
    assert second[1]["previous_item_id"] == first[1]["item_id"]
    assert [len(order.audio) for order in talk.ordered(Transcribe)] == [len(pcm(1800)), len(pcm(2300))]


def test_a_commit_while_speaking_ends_the_turn_and_the_detector_starts_afresh(listening):
    talk = listening
    talk.append(2000)
    [started] = talk.happen(runner_events.SpeechStarted(500))
    events = talk.say("input_audio_buffer.commit")
    assert events[0]["item_id"] == started["item_id"]
    assert len(talk.ordered(DetectTurns)) == 2
    assert talk.happen(runner_events.SpeechStopped(1900)) == [], "that turn is over"
    assert talk.happen(runner_events.SpeechStarted(1500)) == [], "so is this"
    talk.append(1000)
    assert types(talk.happen(runner_events.SpeechStarted(2100))) == ["input_audio_buffer.speech_started"]
    assert talk.happen(runner_events.SpeechStopped(3000))[0]["type"] == "input_audio_buffer.speech_stopped"


def test_a_clear_while_speaking_ends_the_turn_without_an_item(listening):
    talk = listening
    talk.append(2000)
    talk.happen(runner_events.SpeechStarted(500))
    assert types(talk.say("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert talk.happen(runner_events.SpeechStopped(1900)) == []
    assert talk.ordered(Transcribe) == []


def test_new_settings_while_speaking_do_not_lose_the_turn(listening):
    talk = listening
    talk.append(2000)
    talk.happen(runner_events.SpeechStarted(500))
    detection(talk, silence_duration_ms=900, create_response=False)
    assert talk.happen(runner_events.SpeechStarted(2100)) == [], "the same speech, heard afresh"
    talk.append(2000)
    assert talk.happen(runner_events.SpeechStopped(3000))[0]["type"] == "input_audio_buffer.speech_stopped"
    assert len(talk.ordered(Transcribe)[0].audio) == len(pcm(2800))


def test_a_turn_whose_end_was_heard_as_silence_only_ends_too(listening):
    talk = listening
    talk.append(2000)
    talk.happen(runner_events.SpeechStarted(500))
    detection(talk, silence_duration_ms=900)
    assert types(talk.happen(runner_events.SilenceHeard(2000)))[0] == "input_audio_buffer.speech_stopped"


def test_detection_turned_off_while_speaking_leaves_the_audio_to_be_committed(listening):
    talk = listening
    talk.append(2000)
    talk.happen(runner_events.SpeechStarted(500))
    talk.by_hand()
    assert talk.ordered(DetectTurns)[-1].settings is None
    assert talk.happen(runner_events.SpeechStopped(1900)) == []
    talk.say("input_audio_buffer.commit")
    assert len(talk.ordered(Transcribe)[0].audio) == len(pcm(2000))


def test_audio_of_a_client_that_detects_turns_itself_is_not_listened_to(talk):
    talk.append(1000)
    assert talk.ordered(Listen) == []
    assert talk.happen(runner_events.SpeechStarted(500)) == []
    assert talk.happen(runner_events.SilenceHeard(1000)) == []
    talk.say("input_audio_buffer.commit")
    assert len(talk.ordered(Transcribe)[0].audio) == len(pcm(1000))


@pytest.fixture
def small(dialect):
    return Talk(dialect, limits=Limits(audio_seconds=10, append_bytes=len(pcm(4000)), transcriptions=2))


def test_a_session_that_listens_for_long_keeps_little_audio(small):
    for second in range(1, 60):
        assert small.append(1000) == []
        small.happen(runner_events.SilenceHeard(second * 1000))
    small.say("input_audio_buffer.commit")
    assert len(small.ordered(Transcribe)[0].audio) == len(pcm(300))


def test_speech_without_a_pause_is_cut_where_the_buffer_is_full(small):
    small.append(4000)
    [started] = small.happen(runner_events.SpeechStarted(300))
    small.append(4000)
    events = small.append(4000)
    assert types(events) == small.names(
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.speech_started",
    )
    assert events[0]["item_id"] == started["item_id"] != events[-1]["item_id"]
    assert events[0]["audio_end_ms"] == events[-1]["audio_start_ms"] == 8000
    small.happen(runner_events.Transcribed(started["item_id"], 0, "Hello", 8.0))
    small.happen(runner_events.SpeechStopped(12000))
    assert [len(order.audio) for order in small.ordered(Transcribe)] == [len(pcm(8000)), len(pcm(4000))]


def test_audio_beyond_the_buffer_is_refused_and_what_is_there_stays(small):
    small.by_hand()
    small.append(4000)
    small.append(4000)
    assert error(small.append(4000))["code"] == "input_audio_buffer_full"
    small.say("input_audio_buffer.commit")
    assert len(small.ordered(Transcribe)[0].audio) == len(pcm(8000))


def test_an_append_that_is_too_large_is_refused(small):
    assert error(small.append(4001))["code"] == "audio_too_large"


def test_more_speech_than_can_be_transcribed_at_once_is_refused_and_stays(small):
    small.by_hand()
    for _ in range(2):
        small.append(200)
        small.say("input_audio_buffer.commit")
    small.append(200)
    assert error(small.say("input_audio_buffer.commit"))["code"] == "too_many_transcriptions"
    small.happen(runner_events.Transcribed(small.ordered(Transcribe)[0].item_id, 0, "One.", 0.2))
    assert small.say("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"


def test_a_spoken_turn_that_cannot_be_transcribed_any_more_says_so(small):
    detection(small, create_response=False)
    small.append(3000)
    for place in range(3):
        small.happen(runner_events.SpeechStarted(place * 1000 + 10))
        events = small.happen(runner_events.SpeechStopped(place * 1000 + 900))
    assert events[-1]["type"] == "conversation.item.input_audio_transcription.failed"
    assert events[-1]["error"]["code"] == "too_many_transcriptions"


def test_a_frame_of_bad_base64_is_refused_and_the_session_goes_on(listening):
    assert error(listening.say("input_audio_buffer.append", audio="no base64!", event_id="e1")) == {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "Invalid value for 'audio': it is not valid base64.",
        "param": "audio",
        "event_id": "e1",
    }
    assert listening.say("input_audio_buffer.append", audio=b64(pcm(10))) == []
