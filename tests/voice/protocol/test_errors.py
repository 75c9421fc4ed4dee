"""Frames that are no events, and events that are not right: told of, and the session goes on."""

import json

import pytest

from tests.voice.protocol.talk import error
from voice.protocol import runner_events


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        '{"type": "response.cancel", "x": NaN}',
        '{"type": "response.cancel", "x": 1e999}',
        '{"type": "session.update", "session": {"instructions": "\\ud800"}}',
        "[" * 100_000,
        '{"x":' * 100_000,
        '{"type": "response.cancel", "x": ' + "9" * 5000 + "}",
    ],
)
def test_a_frame_that_is_no_event_is_an_error_and_the_session_goes_on(talk, frame):
    refused = error(talk.take(talk.wire.text(frame)))
    assert refused["code"] == "invalid_event"
    assert refused["event_id"] is None
    talk.text_item("Hello.")
    assert talk.context() == [("user", "Hello.")]


def test_an_unknown_event_is_an_error_that_echoes_its_id(talk):
    refused = error(talk.say("session.destroy", event_id="mine"))
    assert refused == {
        "type": "invalid_request_error",
        "code": "invalid_event",
        "message": "There is no client event of the type 'session.destroy'.",
        "param": "type",
        "event_id": "mine",
    }


@pytest.mark.parametrize("event", [{}, {"type": None}, {"type": 5}, {"type": ["response.cancel"]}])
def test_an_event_without_a_type_is_an_error(talk, event):
    assert error(talk.take(talk.wire.text(json.dumps(event))))["param"] == "type"


@pytest.mark.parametrize("event_id", [None, 5, ["x"], {"a": 1}, "x" * 10_000])
def test_an_id_that_is_none_is_not_echoed(talk, event_id):
    assert error(talk.say("response.cancel", event_id=event_id))["event_id"] is None


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": "x"}, "invalid_type", "session"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "invalid_type", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAA"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "é"}, "invalid_value", "audio"),
        ({"type": "conversation.item.delete"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.delete", "item_id": {}}, "invalid_type", "item_id"),
        ({"type": "conversation.item.retrieve", "item_id": "gone"}, "item_retrieve_invalid_item_id", "item_id"),
        (
            {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0},
            "missing_required_parameter",
            "audio_end_ms",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": -1},
            "invalid_value",
            "audio_end_ms",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "x", "content_index": "0", "audio_end_ms": 1},
            "invalid_type",
            "content_index",
        ),
        ({"type": "response.create", "response": []}, "invalid_type", "response"),
        ({"type": "response.create", "response": {"foo": 1}}, "unknown_parameter", "response.foo"),
        ({"type": "response.create", "response": {"metadata": []}}, "invalid_type", "response.metadata"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_type", "response.metadata.a"),
        (
            {"type": "response.create", "response": {"metadata": {str(n): "" for n in range(17)}}},
            "invalid_value",
            "response.metadata",
        ),
        ({"type": "response.create", "response": {"input": "x"}}, "invalid_type", "response.input"),
        (
            {"type": "response.create", "response": {"input": [{"type": "item_reference"}]}},
            "missing_required_parameter",
            "response.input[0].id",
        ),
        ({"type": "response.cancel", "response_id": 5}, "invalid_type", "response_id"),
    ],
)
def test_an_event_that_is_wrong_is_refused_with_its_place(talk, event, code, param):
    refused = error(talk.take(talk.wire.text(json.dumps({**event, "event_id": "e"}))))
    assert (refused["code"], refused["param"], refused["event_id"]) == (code, param, "e")
    talk.respond()


def test_what_goes_wrong_elsewhere_is_told_as_the_server_s(talk):
    refused = error(talk.happen(runner_events.RunnerError("turn_detection_failed", "The detector has failed.")))
    assert (refused["type"], refused["code"]) == ("server_error", "turn_detection_failed")


def test_happenings_of_what_is_not_there_are_ignored(talk):
    for happening in (
        runner_events.Transcribed("item", 0, "text", 1.0),
        runner_events.TranscriptionFailed("item", 0, "code", "message"),
        runner_events.ChatText("resp", "text"),
        runner_events.SentenceStarted("resp", "text"),
        runner_events.SpeechAudio("resp", b"\0\0"),
        runner_events.ResponseUsage("resp", 1, 1),
        runner_events.ResponseFinished("resp"),
        runner_events.ResponseFailed("resp", "code", "message"),
    ):
        assert talk.happen(happening) == []
