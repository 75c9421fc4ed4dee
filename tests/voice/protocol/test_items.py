"""Items that clients make, look at, cut and delete."""

import pytest

from tests.voice.protocol.talk import Talk, b64, error, pcm, types
from voice.protocol import runner_events
from voice.protocol.commands import CancelTranscription, Transcribe
from voice.protocol.config import Limits


def truncate(talk, item, ms, index=0):
    return talk.say("conversation.item.truncate", item_id=item["id"], content_index=index, audio_end_ms=ms)


def test_a_client_s_own_item_id_is_kept(talk):
    events = talk.text_item("Hello.", id="my-item")
    assert types(events) == talk.names("conversation.item.added", "conversation.item.done")
    item = events[0]["item"]
    assert (item["id"], item["status"], item["role"]) == ("my-item", "completed", "user")
    assert item["content"] == [{"type": "input_text", "text": "Hello."}]
    assert talk.say("conversation.item.retrieve", item_id="my-item")[0]["item"] == item


def test_an_id_that_is_taken_is_refused(talk):
    talk.text_item("Hello.", id="my-item")
    assert error(talk.text_item("Again.", id="my-item"))["code"] == "item_create_duplicate_item_id"
    assert talk.context() == [("user", "Hello.")]


def test_items_are_placed_after_the_one_that_is_named(talk):
    talk.text_item("one", id="a")
    talk.text_item("three", id="c")
    content = [{"type": "input_text", "text": "two"}]
    item = {"id": "b", "type": "message", "role": "user", "content": content}
    added = talk.say("conversation.item.create", previous_item_id="a", item=item)[0]
    assert added["previous_item_id"] == "a"
    added = talk.say("conversation.item.create", previous_item_id="root", item={**item, "id": "z"})[0]
    assert added["previous_item_id"] is None
    assert [text for _, text in talk.context()] == ["two", "one", "two", "three"]


def test_an_unknown_previous_item_is_an_error_and_nothing_is_added(talk):
    item = {"type": "message", "role": "user", "content": []}
    refused = error(talk.say("conversation.item.create", previous_item_id="gone", item=item))
    assert (refused["code"], refused["param"]) == ("item_create_invalid_previous_item_id", "previous_item_id")
    assert talk.context() == []


def test_history_of_all_roles_becomes_context(talk):
    talk.text_item("You are kind.", role="system")
    talk.text_item("Hello.")
    talk.text_item("Hi!", role="assistant")
    kind = "output_audio" if talk.dialect == "ga" else "audio"
    talk.say(
        "conversation.item.create",
        item={"type": "message", "role": "assistant", "content": [{"type": kind, "transcript": "Again."}]},
    )
    assert talk.context() == [
        ("system", "You are kind."),
        ("user", "Hello."),
        ("assistant", "Hi!"),
        ("assistant", "Again."),
    ]


def test_an_item_of_speech_is_transcribed_before_it_is_context(talk):
    events = talk.say(
        "conversation.item.create",
        item={
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Listen:"},
                {"type": "input_audio", "audio": b64(pcm(300))},
            ],
        },
    )
    item_id = events[0]["item"]["id"]
    [order] = talk.ordered(Transcribe)
    assert (order.item_id, order.content_index, order.audio) == (item_id, 1, pcm(300))
    [completed] = talk.happen(runner_events.Transcribed(item_id, 1, "the sea", 0.3))
    assert completed["content_index"] == 1
    assert talk.context() == [("user", "Listen:\nthe sea")]


def test_speech_that_comes_with_its_transcript_is_not_transcribed_again(talk):
    talk.say(
        "conversation.item.create",
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_audio", "audio": b64(pcm(300)), "transcript": "the sea"}],
        },
    )
    assert talk.ordered(Transcribe) == []
    assert talk.context() == [("user", "the sea")]


def test_function_calls_are_kept_and_shown_and_no_context(talk):
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    added = talk.say("conversation.item.create", item=call)[0]["item"]
    assert added | call == added
    output = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    added = talk.say("conversation.item.create", item=output)[0]["item"]
    assert added | output == added
    assert talk.context() == []


def test_a_deleted_item_is_gone_from_the_context(talk):
    talk.text_item("One.", id="a")
    talk.text_item("Two.", id="b")
    [deleted] = talk.say("conversation.item.delete", item_id="a")
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", "a")
    assert talk.context() == [("user", "Two.")]
    for name in ("retrieve", "delete"):
        refused = error(talk.say(f"conversation.item.{name}", item_id="a"))
        assert (refused["code"], refused["param"]) == (f"item_{name}_invalid_item_id", "item_id")


def test_deleting_speech_ends_its_transcription(talk):
    talk.append(500)
    item_id = talk.say("input_audio_buffer.commit")[0]["item_id"]
    talk.say("conversation.item.delete", item_id=item_id)
    assert talk.ordered(CancelTranscription) == [CancelTranscription(item_id, 0)]
    assert talk.happen(runner_events.Transcribed(item_id, 0, "Late.", 0.5)) == []
    assert talk.happen(runner_events.TranscriptionDelta(item_id, 0, "Late.")) == []
    assert talk.happen(runner_events.TranscriptionFailed(item_id, 0, "late", "Late.")) == []


def test_an_item_that_is_still_being_made_cannot_be_deleted(talk):
    response_id = talk.respond()
    item_id = talk.speak(response_id, ("Hello.", 100))[0]["item"]["id"]
    assert error(talk.say("conversation.item.delete", item_id=item_id))["code"] == "item_in_progress"
    talk.happen(runner_events.ResponseFinished(response_id))
    assert types(talk.say("conversation.item.delete", item_id=item_id)) == ["conversation.item.deleted"]
    assert talk.context() == []


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (0, ""),
        (500, "One two"),
        (990, "One two three"),
        (999, "One two three four."),
        (1000, "One two three four."),
        (1500, "One two three four. Five six"),
        (2000, "One two three four. Five six seven eight."),
    ],
)
def test_truncation_leaves_what_was_heard(talk, ms, heard):
    item = talk.answer(("One two three four. ", 1000), ("Five six seven eight.", 1000))
    [truncated] = truncate(talk, item, ms)
    assert truncated["type"] == "conversation.item.truncated"
    assert (truncated["item_id"], truncated["content_index"], truncated["audio_end_ms"]) == (item["id"], 0, ms)
    [retrieved] = talk.say("conversation.item.retrieve", item_id=item["id"])
    assert retrieved["item"]["content"][0]["transcript"] == heard
    assert talk.context() == ([("assistant", heard)] if heard else [])


def test_text_without_spaces_is_cut_by_characters(talk):
    item = talk.answer(("今日は天気がいいですね", 1100))
    truncate(talk, item, 500)
    assert talk.context() == [("assistant", "今日は天気")]


def test_truncation_beyond_the_audio_is_an_error_and_the_session_goes_on(talk):
    item = talk.answer(("One two three.", 1000))
    refused = error(truncate(talk, item, 1500))
    assert refused["message"] == "Audio content of 1000ms is already shorter than 1500ms"
    assert refused["param"] == "audio_end_ms"
    assert talk.context() == [("assistant", "One two three.")]
    truncate(talk, item, 400)
    assert "400ms" in error(truncate(talk, item, 900))["message"], "what was cut does not come back"


def test_only_spoken_answers_can_be_truncated(talk):
    user = talk.text_item("Hello.")[0]["item"]
    assert error(truncate(talk, user, 0))["param"] == "item_id"
    item = talk.answer(("One.", 1000))
    assert error(truncate(talk, item, 0, index=1))["param"] == "content_index"
    assert error(truncate(talk, {"id": "gone"}, 0))["code"] == "item_truncate_invalid_item_id"


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_answer_that_is_truncated_before_its_end_stays_so(talk, cancelled):
    response_id = talk.respond()
    item = talk.speak(response_id, ("One two three four. ", 1000), ("Five.", 1000))[0]["item"]
    assert types(truncate(talk, item, 500)) == ["conversation.item.truncated"]
    talk.speak(response_id, ("Six.", 1000))
    events = talk.say("response.cancel") if cancelled else talk.happen(runner_events.ResponseFinished(response_id))
    assert events[-1]["response"]["output"][0]["content"][0]["transcript"] == "One two"
    assert talk.context() == [("assistant", "One two")]


def test_an_interrupted_answer_can_be_truncated_to_what_was_played(listening):
    talk = listening
    response_id = talk.respond()
    item = talk.speak(response_id, ("One two three four. ", 1000), ("Five six seven eight.", 1000))[0]["item"]
    talk.append(1000)
    talk.happen(runner_events.SpeechStarted(500))
    truncate(talk, item, 1000)
    assert talk.context() == [("assistant", "One two three four.")]


def test_of_a_sentence_whose_audio_was_cut_off_only_a_share_counts_as_heard(talk):
    response_id = talk.respond()
    talk.speak(response_id, ("One two three four. ", 1000))
    # At the pace of the sentence before, this one would take 4 seconds.
    talk.speak(response_id, ("Aaaa bbbb cccc dddd " * 4, 1000))
    talk.say("response.cancel")
    assert talk.context() == [("assistant", "One two three four. Aaaa bbbb cccc dddd")]


def test_the_oldest_items_are_forgotten_beyond_the_limit_and_the_client_is_told(dialect):
    talk = Talk(dialect, limits=Limits(items=3))
    for number in range(3):
        talk.text_item(f"{number}", id=f"item{number}")
    events = talk.text_item("3")
    assert types(events)[-1] == "conversation.item.deleted"
    assert events[-1]["item_id"] == "item0"
    assert [text for _, text in talk.context()] == ["1", "2", "3"]


def test_the_oldest_texts_are_forgotten_beyond_the_limit(dialect):
    talk = Talk(dialect, limits=Limits(text_chars=100))
    talk.text_item("a" * 60, id="old")
    events = talk.text_item("b" * 60)
    assert events[-1]["item_id"] == "old"
    assert error(talk.text_item("c" * 101))["param"] == "item"
    assert talk.context() == [("user", "b" * 60)]


def test_long_answers_count_too(dialect):
    talk = Talk(dialect, limits=Limits(text_chars=100))
    talk.text_item("a" * 60, id="old")
    response_id = talk.respond()
    talk.speak(response_id, ("b" * 60, 100))
    events = talk.happen(runner_events.ResponseFinished(response_id))
    assert "conversation.item.deleted" in types(events)
    assert talk.context() == [("assistant", "b" * 60)]


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (None, "missing_required_parameter", "item"),
        ("text", "invalid_type", "item"),
        ({"type": "poem"}, "invalid_value", "item.type"),
        ({"type": "function_call", "name": "f"}, "missing_required_parameter", "item.arguments"),
        ({"type": "function_call_output", "output": "x"}, "missing_required_parameter", "item.call_id"),
        ({"type": "message", "content": []}, "missing_required_parameter", "item.role"),
        ({"type": "message", "role": "judge", "content": []}, "invalid_value", "item.role"),
        ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
        ({"type": "message", "role": "user", "content": "hi"}, "invalid_type", "item.content"),
        ({"type": "message", "role": "user", "content": ["hi"]}, "invalid_type", "item.content[0]"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "data:"}]},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text"}]},
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "*"}]},
            "invalid_value",
            "item.content[0].audio",
        ),
        ({"type": "message", "role": "user", "content": [], "id": 5}, "invalid_type", "item.id"),
        ({"type": "message", "role": "user", "content": [], "id": ""}, "invalid_value", "item.id"),
    ],
)
def test_an_item_that_is_wrong_is_refused_with_its_place(talk, item, code, param):
    refused = error(talk.say("conversation.item.create", item=item, event_id="e"))
    assert (refused["code"], refused["param"], refused["event_id"]) == (code, param, "e")
    assert talk.context() == []
