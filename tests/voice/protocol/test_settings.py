"""session.update, and sessions that only transcribe."""

import pytest

from tests.voice.protocol.talk import Talk, error, types
from voice.protocol import runner_events
from voice.protocol.commands import DetectTurns, StartResponse, Transcribe
from voice.protocol.config import AudioFormat

SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "create_response": True,
    "interrupt_response": True,
}


def session_after(talk, **session):
    events = talk.update(**session)
    assert types(events) == ["session.updated"], events
    return events[0]["session"]


def turn_detection(session):
    detection = (
        session["turn_detection"] if "turn_detection" in session else session["audio"]["input"]["turn_detection"]
    )
    if detection:
        detection.pop("idle_timeout_ms", None)
    return detection


def test_this_platform_s_own_words_choose_the_models_in_both_dialects(talk):
    session = session_after(talk, stt_model="sphinx", llm_model="echo", tts_model="espeak", voice="de")
    assert (session["stt_model"], session["llm_model"], session["tts_model"]) == ("sphinx", "echo", "espeak")
    assert session["model"] == "echo"
    assert (session["voice"] if talk.dialect == "beta" else session["audio"]["output"]["voice"]) == "de"
    talk.spoken_item()
    talk.respond()
    assert talk.ordered(Transcribe)[0].stt_model == "sphinx"
    [start] = talk.ordered(StartResponse)
    assert (start.llm_model, start.tts_model, start.voice) == ("echo", "espeak", "de")


@pytest.mark.parametrize("field", ["stt_model", "llm_model", "tts_model"])
def test_a_model_that_is_asked_for_by_these_words_must_exist(talk, field):
    refused = error(talk.update(**{field: "missing", "instructions": "Not taken either."}))
    assert (refused["code"], refused["param"]) == ("model_not_found", f"session.{field}")
    assert session_after(talk)["instructions"] == ""


def test_names_from_a_client_s_defaults_fall_back_where_they_are_unknown(dialect):
    talk = Talk(dialect, stt_model="sphinx", tts_model="espeak", voice="en-us")
    if dialect == "ga":
        session = session_after(
            talk,
            model="gpt-realtime",
            audio={"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}, "output": {"voice": "alloy"}},
        )
        assert session["audio"]["input"]["transcription"]["model"] == "sphinx"
        assert session["audio"]["output"]["voice"] == "en-us"
    else:
        session = session_after(
            talk,
            model="gpt-4o-realtime",
            input_audio_transcription={"model": "gpt-4o-mini-transcribe"},
            voice="alloy",
        )
        assert session["input_audio_transcription"]["model"] == "sphinx"
        assert session["voice"] == "en-us"
    assert session["llm_model"] == "gpt-4o-realtime-preview"


def test_a_known_transcription_model_is_taken(talk):
    transcription = {"model": "sphinx", "language": "de", "prompt": "names: Ann"}
    if talk.dialect == "ga":
        talk.update(audio={"input": {"transcription": transcription}})
    else:
        talk.update(input_audio_transcription=transcription)
    talk.spoken_item()
    [order] = talk.ordered(Transcribe)
    assert (order.stt_model, order.language, order.prompt) == ("sphinx", "de", "names: Ann")


def test_what_is_left_out_stays(dialect):
    talk = Talk(dialect)
    if dialect == "ga":
        talk.update(instructions="Be brief.", audio={"output": {"voice": "verse", "speed": 1.2}})
        talk.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}})
        session = session_after(talk, audio={"input": {"format": {"type": "audio/pcm", "rate": 24000}}})
        assert (session["audio"]["output"]["voice"], session["audio"]["output"]["speed"]) == ("verse", 1.2)
    else:
        talk.update(instructions="Be brief.", voice="verse", speed=1.2)
        talk.update(turn_detection={"type": "server_vad", "silence_duration_ms": 200})
        session = session_after(talk, input_audio_format="pcm16")
        assert (session["voice"], session["speed"]) == ("verse", 1.2)
    assert session["instructions"] == "Be brief."
    assert turn_detection(session) == {**SERVER_VAD, "silence_duration_ms": 200}


def test_null_and_nothing_clear(dialect):
    talk = Talk(dialect, instructions="Be brief.")
    talk.update(tools=[{"type": "function", "name": "weather"}])
    talk.by_hand()
    session = session_after(talk, instructions="", tools=[])
    assert turn_detection(session) is None
    assert session["instructions"] == ""
    assert session["tools"] == []


def test_null_elsewhere_changes_nothing(dialect):
    talk = Talk(dialect, instructions="Be brief.")
    names = {"audio": None, "output_modalities": None} if dialect == "ga" else {"modalities": None}
    assert session_after(talk, instructions=None, voice=None, **names)["instructions"] == "Be brief."


def test_turn_detection_comes_back_as_it_began(talk):
    if talk.dialect == "ga":
        session = session_after(talk, audio={"input": {"turn_detection": {"type": "server_vad"}}})
    else:
        session = session_after(talk, turn_detection={"type": "server_vad"})
    assert turn_detection(session) == SERVER_VAD
    assert talk.ordered(DetectTurns)[-1].settings is not None


def test_semantic_detection_is_shown_as_what_is_done_instead(dialect):
    talk = Talk(dialect)
    wanted = {"type": "semantic_vad", "eagerness": "high", "interrupt_response": False}
    if dialect == "ga":
        session = session_after(talk, audio={"input": {"turn_detection": wanted}})
    else:
        session = session_after(talk, turn_detection=wanted)
    assert turn_detection(session) == {**SERVER_VAD, "silence_duration_ms": 300, "interrupt_response": False}


def test_transcription_switched_off_is_done_and_not_told(talk):
    if talk.dialect == "ga":
        session = session_after(talk, audio={"input": {"transcription": None}})
        assert session["audio"]["input"]["transcription"] is None
    else:
        assert session_after(talk, input_audio_transcription=None)["input_audio_transcription"] is None
    before = len(talk.events)
    talk.spoken_item("Hello.")
    assert not [event for event in talk.events[before:] if "transcription" in event["type"]]
    assert talk.context() == [("user", "Hello.")]


def test_known_fields_that_do_nothing_are_taken_and_shown(dialect):
    talk = Talk(dialect)
    tools = [{"type": "function", "name": "weather", "parameters": {}}]
    if dialect == "ga":
        session = session_after(
            talk,
            tracing="auto",
            tools=tools,
            tool_choice="none",
            truncation="disabled",
            prompt=None,
            include=["item.input_audio_transcription.logprobs"],
            audio={"input": {"noise_reduction": {"type": "near_field"}}},
        )
        assert session["audio"]["input"]["noise_reduction"] == {"type": "near_field"}
        assert session["truncation"] == "disabled"
    else:
        session = session_after(
            talk,
            tracing="auto",
            tools=tools,
            tool_choice="none",
            temperature=0.8,
            input_audio_noise_reduction={"type": "near_field"},
        )
        assert session["input_audio_noise_reduction"] == {"type": "near_field"}
        assert session["temperature"] == 0.8
    assert (session["tracing"], session["tools"], session["tool_choice"]) == ("auto", tools, "none")


def test_a_session_as_the_server_shows_it_may_be_sent_back(dialect):
    talk = Talk(dialect)
    shown = talk.events[0]["session"]
    assert session_after(talk, **shown) == shown


def test_formats_go_by_the_dialect_s_names(dialect):
    talk = Talk(dialect)
    if dialect == "ga":
        session = session_after(
            talk,
            audio={"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}},
        )
        assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
        assert session["audio"]["output"]["format"] == {"type": "audio/pcma"}
    else:
        session = session_after(talk, input_audio_format="g711_ulaw", output_audio_format="g711_alaw")
        assert (session["input_audio_format"], session["output_audio_format"]) == ("g711_ulaw", "g711_alaw")
    assert talk.ordered(DetectTurns)[-1].input_format is AudioFormat.ULAW


def test_the_input_s_format_cannot_change_in_the_middle_of_a_turn(talk):
    talk.append(200)
    if talk.dialect == "ga":
        refused = error(talk.update(audio={"input": {"format": {"type": "audio/pcmu"}}}))
        assert refused["param"] == "session.audio.input.format"
    else:
        refused = error(talk.update(input_audio_format="g711_ulaw"))
        assert refused["param"] == "session.input_audio_format"
    talk.say("input_audio_buffer.clear")
    other = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    session_after(talk, **(other if talk.dialect == "ga" else {"input_audio_format": "g711_ulaw"}))


@pytest.mark.parametrize(
    ("dialect", "session", "code", "param"),
    [
        ("ga", {"voices": 1}, "unknown_parameter", "session.voices"),
        ("ga", {"modalities": ["text"]}, "unknown_parameter", "session.modalities"),
        ("ga", {"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        ("ga", {"instructions": 5}, "invalid_type", "session.instructions"),
        ("ga", {"audio": []}, "invalid_type", "session.audio"),
        ("ga", {"audio": {"input": {"format": {"type": "mp3"}}}}, "invalid_value", "session.audio.input.format.type"),
        (
            "ga",
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        ("ga", {"audio": {"output": {"speed": 2}}}, "invalid_value", "session.audio.output.speed"),
        ("ga", {"audio": {"output": {"speed": True}}}, "invalid_type", "session.audio.output.speed"),
        (
            "ga",
            {"audio": {"input": {"turn_detection": {"type": "magic"}}}},
            "invalid_value",
            "session.audio.input.turn_detection.type",
        ),
        (
            "ga",
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 3}}}},
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        ("ga", {"tools": ["weather"]}, "invalid_type", "session.tools[0]"),
        ("ga", {"truncation": 5}, "invalid_type", "session.truncation"),
        ("beta", {"tools": {}}, "invalid_type", "session.tools"),
        ("beta", {"tracing": []}, "invalid_type", "session.tracing"),
        ("ga", {"max_output_tokens": "many"}, "invalid_type", "session.max_output_tokens"),
        ("ga", {"type": "transcription"}, "invalid_value", "session.type"),
        ("beta", {"output_modalities": ["text"]}, "unknown_parameter", "session.output_modalities"),
        ("beta", {"modalities": ["video"]}, "invalid_value", "session.modalities"),
        ("beta", {"input_audio_format": "mp3"}, "invalid_value", "session.input_audio_format"),
        ("beta", {"turn_detection": "server_vad"}, "invalid_type", "session.turn_detection"),
        (
            "beta",
            {"turn_detection": {"type": "server_vad", "silence_duration_ms": "long"}},
            "invalid_type",
            "session.turn_detection.silence_duration_ms",
        ),
        ("beta", {"max_response_output_tokens": 0}, "invalid_value", "session.max_response_output_tokens"),
        ("beta", {"temperature": "hot"}, "invalid_type", "session.temperature"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_with_its_place(dialect, session, code, param):
    talk = Talk(dialect)
    before = session_after(talk)
    refused = error(talk.say("session.update", session={"instructions": "No.", **session}, event_id="u1"))
    assert (refused["code"], refused["param"], refused["event_id"]) == (code, param, "u1")
    assert session_after(talk) == before


def test_settings_that_are_nested_without_end_are_refused(dialect):
    nested = []
    for _ in range(100):
        nested = [nested]
    assert error(Talk(dialect).update(tools=nested))["param"] == "session.tools"


def test_a_transcription_session_in_ga():
    talk = Talk("ga", kind="transcription")
    assert talk.events[0]["session"]["type"] == "transcription"
    [updated] = talk.say(
        "session.update",
        session={
            "type": "transcription",
            "audio": {"input": {"transcription": {"model": "sphinx", "language": "en"}, "turn_detection": None}},
        },
    )
    assert updated["type"] == "session.updated"
    assert updated["session"]["audio"]["input"]["transcription"]["model"] == "sphinx"
    talk.spoken_item("Only text.")
    assert talk.events[-1]["transcript"] == "Only text."
    refused = error(talk.say("session.update", session={"type": "realtime"}))
    assert refused["param"] == "session.type"


def test_a_transcription_session_in_beta():
    talk = Talk("beta", kind="transcription")
    assert talk.events[0]["type"] == "session.created"
    [updated] = talk.say(
        "transcription_session.update",
        session={"input_audio_transcription": {"model": "sphinx"}, "turn_detection": {"silence_duration_ms": 300}},
    )
    assert updated["type"] == "transcription_session.updated"
    assert updated["session"]["input_audio_transcription"]["model"] == "sphinx"
    assert updated["session"]["turn_detection"]["silence_duration_ms"] == 300


def test_a_transcription_session_writes_turns_down_and_answers_none(dialect):
    talk = Talk(dialect, kind="transcription")
    talk.append(2000)
    talk.happen(runner_events.SpeechStarted(500))
    events = talk.happen(runner_events.SpeechStopped(1900))
    assert types(events) == talk.names(
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    )
    assert error(talk.say("response.create", event_id="r"))["event_id"] == "r"
    assert talk.ordered(StartResponse) == []
