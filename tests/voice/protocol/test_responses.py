"""Asking for answers, stopping them, and how they end."""

import pytest

from tests.voice.protocol.talk import Talk, b64, error, pcm, types
from voice.protocol import runner_events
from voice.protocol.commands import CancelResponse, CancelTranscription, StartResponse, Transcribe
from voice.protocol.config import AudioFormat, Limits


def test_a_second_response_is_refused_while_one_is_active(talk):
    first = talk.respond()
    refused = error(talk.say("response.create", event_id="second"))
    assert refused["code"] == "conversation_already_has_active_response"
    assert refused["event_id"] == "second"
    assert first in refused["message"]
    talk.happen(runner_events.ResponseFinished(first))
    assert talk.respond() != first


@pytest.mark.parametrize("named", [False, True])
def test_cancel_ends_the_response_and_stops_its_work(talk, named):
    response_id = talk.respond()
    talk.speak(response_id, ("Hello. ", 500))
    events = talk.say("response.cancel", **({"response_id": response_id} if named else {}))
    assert types(events) == talk.names(
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    )
    assert events[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert talk.ordered(CancelResponse) == [CancelResponse(response_id)]
    talk.respond()


def test_cancel_with_nothing_active_is_an_error_and_the_session_goes_on(talk):
    assert error(talk.say("response.cancel", event_id="c"))["code"] == "response_cancel_not_active"
    response_id = talk.respond()
    assert error(talk.say("response.cancel", response_id="resp_other"))["code"] == "response_cancel_not_active"
    talk.happen(runner_events.ResponseFinished(response_id))
    assert error(talk.say("response.cancel", response_id=response_id))["code"] == "response_cancel_not_active"
    talk.respond()


def test_a_cancelled_response_shows_the_tokens_that_were_counted(talk):
    response_id = talk.respond()
    talk.speak(response_id, ("Hello. ", 500))
    talk.happen(runner_events.ResponseUsage(response_id, 5, 2))
    assert talk.say("response.cancel")[-1]["response"]["usage"]["total_tokens"] == 7


def test_usage_that_nobody_counted_is_not_told_as_nothing(talk):
    response_id = talk.respond()
    assert talk.happen(runner_events.ResponseFinished(response_id))[-1]["response"]["usage"] is None


def test_a_provider_that_fails_in_the_middle_fails_the_response(talk):
    response_id = talk.respond()
    talk.speak(response_id, ("Hello there my friend. ", 2000))
    talk.happen(runner_events.ChatText(response_id, "Never spoken."))
    events = talk.happen(runner_events.ResponseFailed(response_id, "provider_unavailable", "The provider is down."))
    done = events[-1]["response"]
    assert done["status"] == "failed"
    assert done["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "provider_unavailable", "message": "The provider is down."},
    }
    assert done["output"][0]["content"][0]["transcript"] == "Hello there my friend."
    assert done["output"][0]["status"] == "incomplete"


def test_a_response_that_fails_before_its_first_word_has_no_output(talk):
    response_id = talk.respond()
    events = talk.happen(runner_events.ResponseFailed(response_id, "timeout", "Too slow."))
    assert types(events) == ["response.done"]
    assert events[0]["response"]["output"] == []


def test_an_answer_at_the_output_limit_is_incomplete(talk):
    limit = "max_output_tokens" if talk.dialect == "ga" else "max_response_output_tokens"
    response_id = talk.respond(**{limit: 5})
    assert talk.ordered(StartResponse)[0].max_output_tokens == 5
    talk.speak(response_id, ("One two three four five", 900))
    done = talk.happen(runner_events.ResponseFinished(response_id, incomplete=True))[-1]["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert done["output"][0]["content"][0]["transcript"] == "One two three four five"


def test_a_response_may_have_its_own_instructions_voice_and_format(talk):
    talk.update(instructions="Be brief.")
    if talk.dialect == "ga":
        talk.respond(instructions="Be long.", audio={"output": {"voice": "verse", "format": {"type": "audio/pcma"}}})
    else:
        talk.respond(instructions="Be long.", voice="verse", output_audio_format="g711_alaw", temperature=0.7)
    [order] = talk.ordered(StartResponse)
    assert order.messages[0].text == "Be long."
    assert (order.voice, order.output_format) == ("verse", AudioFormat.ALAW)


def test_a_response_may_lift_the_session_s_limit(talk):
    limit = "max_output_tokens" if talk.dialect == "ga" else "max_response_output_tokens"
    talk.update(**{limit: 100})
    talk.happen(runner_events.ResponseFinished(talk.respond()))
    talk.happen(runner_events.ResponseFinished(talk.respond(**{limit: "inf"})))
    talk.update(**{limit: "inf"})
    talk.respond()
    assert [order.max_output_tokens for order in talk.ordered(StartResponse)] == [100, None, None]


def test_audio_is_measured_in_the_response_s_own_format(talk):
    if talk.dialect == "ga":
        response_id = talk.respond(audio={"output": {"format": {"type": "audio/pcmu"}}})
    else:
        response_id = talk.respond(output_audio_format="g711_ulaw")
    talk.happen(runner_events.ChatText(response_id, "Hello."))
    talk.happen(runner_events.SentenceStarted(response_id, "Hello."))
    talk.happen(runner_events.SpeechAudio(response_id, b"\xff" * 800))
    item = talk.happen(runner_events.ResponseFinished(response_id))[-1]["response"]["output"][0]
    assert (
        "100ms"
        in error(talk.say("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=200))[
            "message"
        ]
    )


def test_an_answer_out_of_band_is_no_part_of_the_conversation(talk):
    talk.text_item("My name is Ann.")
    response_id = talk.respond(conversation="none", metadata={"purpose": "classify"})
    events = talk.speak(response_id, ("Friendly.", 100))
    events += talk.happen(runner_events.ResponseFinished(response_id))
    assert talk.name("conversation.item.added") not in types(events)
    assert "conversation.item.done" not in types(events)
    assert events[-1]["response"]["metadata"] == {"purpose": "classify"}
    assert events[-1]["response"]["conversation_id"] is None
    assert talk.context() == [("user", "My name is Ann.")]


def test_answers_out_of_band_run_beside_the_conversation_s(talk):
    active = talk.respond()
    beside = talk.respond(conversation="none")
    assert len(talk.ordered(StartResponse)) == 2
    assert talk.happen(runner_events.ResponseFinished(beside))[-1]["response"]["status"] == "completed"
    events = talk.say("response.cancel")
    assert events[-1]["response"]["id"] == active


def test_cancel_without_an_id_means_the_conversation_s(talk):
    beside = talk.respond(conversation="none")
    assert error(talk.say("response.cancel"))["code"] == "response_cancel_not_active"
    assert talk.say("response.cancel", response_id=beside)[-1]["response"]["status"] == "cancelled"


def test_speech_does_not_interrupt_answers_out_of_band(listening):
    beside = listening.respond(conversation="none")
    listening.append(1000)
    assert types(listening.happen(runner_events.SpeechStarted(500))) == ["input_audio_buffer.speech_started"]
    assert listening.happen(runner_events.ResponseFinished(beside))[-1]["response"]["status"] == "completed"


def test_answers_out_of_band_are_bounded(dialect):
    talk = Talk(dialect, limits=Limits(out_of_band_responses=2))
    talk.respond(conversation="none")
    talk.respond(conversation="none")
    assert error(talk.say("response.create", response={"conversation": "none"}))["code"] == "too_many_responses"
    talk.respond()


def test_input_takes_the_place_of_the_conversation(talk):
    kept = talk.text_item("Keep me.", id="kept")[0]["item"]["id"]
    talk.text_item("Leave me out.")
    context = talk.context(
        instructions="Judge.",
        input=[
            {"type": "item_reference", "id": kept},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And me."}]},
        ],
    )
    assert context == [("system", "Judge."), ("user", "Keep me."), ("user", "And me.")]
    assert talk.context() == [("user", "Keep me."), ("user", "Leave me out.")]


def test_an_input_is_bounded_however_often_it_names_an_item(dialect):
    talk = Talk(dialect, limits=Limits(items=5, text_chars=100))
    talk.text_item("a" * 40, id="long")
    for times in (6, 3):
        reference = {"type": "item_reference", "id": "long"}
        refused = error(talk.say("response.create", response={"input": [reference] * times}))
        assert refused["param"] == "response.input"
    assert len(talk.context(input=[reference, reference])) == 2


def test_an_empty_input_is_no_context(talk):
    talk.text_item("Leave me out.")
    assert talk.context(instructions="Greet.", input=[]) == [("system", "Greet.")]


def test_speech_in_the_input_is_transcribed_for_the_response_and_not_told(talk):
    events = talk.say(
        "response.create",
        response={
            "conversation": "none",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": b64(pcm(300))}]}
            ],
        },
    )
    assert types(events) == ["response.created", "rate_limits.updated"]
    [order] = talk.ordered(Transcribe)
    assert talk.happen(runner_events.Transcribed(order.item_id, 0, "Classify this.", 0.3)) == []
    [start] = talk.ordered(StartResponse)
    assert start.messages[-1].text == "Classify this."


def test_cancelling_a_response_ends_the_transcription_of_its_own_input(talk):
    talk.say(
        "response.create",
        response={
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": b64(pcm(300))}]}
            ],
        },
    )
    [order] = talk.ordered(Transcribe)
    talk.say("response.cancel")
    assert talk.ordered(CancelTranscription) == [CancelTranscription(order.item_id, 0)]


def test_a_reference_to_an_unknown_item_is_an_error_and_nothing_begins(talk):
    refused = error(talk.say("response.create", response={"input": [{"type": "item_reference", "id": "gone"}]}))
    assert (refused["code"], refused["param"]) == ("item_not_found", "response.input[0].id")
    talk.respond()


def test_an_update_in_mid_turn_is_for_the_next_answer(talk):
    response_id = talk.respond()
    talk.update(llm_model="echo", instructions="New.", voice="verse")
    talk.speak(response_id, ("Old.", 100))
    done = talk.happen(runner_events.ResponseFinished(response_id))[-1]["response"]
    assert (done["audio"]["output"]["voice"] if talk.dialect == "ga" else done["voice"]) == "alloy"
    talk.respond()
    first, second = talk.ordered(StartResponse)
    assert (first.llm_model, first.voice, len(first.messages)) == ("gpt-4o-realtime-preview", "alloy", 0)
    assert (second.llm_model, second.voice, second.messages[0].text) == ("echo", "verse", "New.")


def test_what_is_deleted_while_a_response_waits_is_not_told_to_the_chat_model(talk):
    talk.text_item("Secret.", id="secret")
    talk.append(500)
    speech = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.respond()
    talk.say("conversation.item.delete", item_id="secret")
    talk.happen(runner_events.Transcribed(speech, 0, "Hello.", 0.5))
    [start] = talk.ordered(StartResponse)
    assert [message.text for message in start.messages] == ["Hello."]


def test_a_response_whose_speech_is_deleted_begins_without_it(talk):
    talk.append(500)
    speech = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.respond()
    talk.say("conversation.item.delete", item_id=speech)
    assert talk.ordered(CancelTranscription) == [CancelTranscription(speech, 0)]
    [start] = talk.ordered(StartResponse)
    assert start.messages == ()


@pytest.mark.parametrize(("reason", "code"), [("idle", 1001), ("expired", 1001), ("restart", 1012)])
def test_a_session_that_ends_says_why_and_ends_its_answers(talk, reason, code):
    talk.respond()
    events = talk.happen(runner_events.TimeUp(reason))
    assert types(events) == ["response.done", "error"]
    assert events[0]["response"]["status"] == "failed"
    assert events[1]["error"]["code"] == "session_expired"
    assert talk.commands[-1].code == code
    assert talk.say("response.create") == []
    assert talk.take(talk.wire.text("no json")) == []
