"""`POST /v1/audio/transcriptions` and `/translations`, over real sockets: what is asked for, and what is answered."""

import hashlib
import json

import httpx
import pytest

from providers.models import SpeechModel
from tests.audio import FORMATS, encode, make_wav
from tests.waiting import wait_for

SPEECH = make_wav(2.5)
TEXT = "Is it here? No, it is there. Look again, my friend!"


@pytest.fixture(scope="module")
def http(live):
    with httpx.Client(base_url=live.api, headers={"Authorization": f"Bearer {live.key}"}, timeout=120) as client:
        yield client


@pytest.fixture
def says(studio):
    """The provider hears TEXT, in whatever it is given."""
    studio.settings(text=TEXT)
    return studio


def ask(http, audio=SPEECH, endpoint="transcriptions", request_id=None, **fields):
    data = {"model": "studio/whisper", **fields}
    given = {name: value for name, value in data.items() if value is not ...}
    headers = {"X-Request-Id": request_id} if request_id else {}
    files = {} if audio is None else {"file": ("upload", audio)}
    return http.post(f"/audio/{endpoint}", data=given, files=files or {"nothing": ("", b"")}, headers=headers)


def error_of(answer):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


# --- the formats ------------------------------------------------------------------------------------


def test_json_holds_the_text_and_what_was_used(http, says):
    answer = ask(http)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-earshot-model"] == "studio/whisper"
    assert answer.json() == {"text": TEXT, "usage": {"type": "duration", "seconds": 2.5}}


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html"])
def test_text_is_the_body_itself_whatever_is_said_to_be_accepted(http, says, accept):
    http.headers["Accept"] = accept
    answer = ask(http, response_format="text")
    assert (answer.headers["content-type"], answer.text) == ("text/plain; charset=utf-8", f"{TEXT}\n")


@pytest.mark.parametrize("model", ["studio/whisper", "studio/transcribe"])
def test_subtitles_come_from_every_model(http, says, model):
    srt = ask(http, model=model, response_format="srt")
    assert (srt.status_code, srt.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert srt.text.startswith("1\n00:00:00,000 --> 00:00:0")
    vtt = ask(http, model=model, response_format="vtt")
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
    assert vtt.text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0")
    for body in (srt.text, vtt.text):
        assert " ".join(line for line in body.splitlines() if line and line[0].isalpha() and line != "WEBVTT") == TEXT


def test_a_model_without_times_gets_one_segment_over_all_of_the_audio(http, says):
    answer = ask(http, model="studio/transcribe", response_format="verbose_json").json()
    [segment] = answer["segments"]
    assert (segment["start"], segment["end"], segment["text"]) == (0, 2.5, TEXT)
    assert segment["avg_logprob"] is None
    assert (answer["duration"], answer["task"], "words" in answer) == (2.5, "transcribe", False)


def test_verbose_json_holds_the_times_that_are_asked_for(http, says):
    segments = ask(http, response_format="verbose_json").json()
    assert len(segments["segments"]) == 3
    assert "words" not in segments
    assert segments["segments"][0].keys() >= {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob",
    }  # fmt: skip
    words = ask(http, response_format="verbose_json", **{"timestamp_granularities[]": "word"}).json()
    assert [word["word"] for word in words["words"]][:2] == ["Is", "it"]
    assert "segments" not in words
    both = ask(http, response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]}).json()
    assert both["words"] == words["words"]
    assert both["segments"] == segments["segments"]


def test_speakers_are_told_apart_by_models_that_can(http, says):
    told = ask(http, model="studio/diarize", response_format="diarized_json").json()
    assert told.keys() == {"task", "duration", "text", "segments", "usage"}
    assert [segment["speaker"] for segment in told["segments"]] == ["A", "B", "A"]
    assert " ".join(segment["text"].strip() for segment in told["segments"]) == told["text"]


@pytest.mark.parametrize("model", ["studio/transcribe", "local/pocketsphinx"])
def test_a_model_that_cannot_tell_speakers_apart_is_refused(http, live, says, model):
    answer = ask(http, model=model, response_format="diarized_json", request_id=f"alone-{model[:5]}")
    assert answer.status_code == 400
    assert "diarized_json" in error_of(answer)["message"]
    assert live.only_record(request_id=f"alone-{model[:5]}").cost_usd == 0


def test_the_duration_is_that_of_the_audio_even_where_the_provider_says_another(http, says):
    says.settings(seconds=0.001)
    answer = ask(http, response_format="verbose_json").json()
    assert (answer["duration"], answer["usage"]["seconds"]) == (2.5, 2.5)


def test_tokens_are_told_where_the_provider_counts_them(http, live, says):
    says.settings(usage="tokens")
    usage = ask(http, model="studio/transcribe", request_id="tokens").json()["usage"]
    assert usage["type"] == "tokens"
    assert usage["input_token_details"] == {"text_tokens": 0, "audio_tokens": 25}
    record = live.only_record(request_id="tokens")
    assert (record.input_tokens, record.output_tokens) == (usage["input_tokens"], usage["output_tokens"])


def test_the_embedded_engine_answers_in_every_format_too(http):
    for wanted in ("json", "text", "srt", "vtt", "verbose_json"):
        answer = ask(http, make_wav(0.5), model="local/pocketsphinx", response_format=wanted)
        assert (answer.status_code, answer.headers["x-earshot-model"]) == (200, "local/pocketsphinx")


def test_translations_are_english_and_say_so(http, says):
    answer = ask(http, endpoint="translations", response_format="verbose_json", prompt="names: Zoë").json()
    assert (answer["task"], answer["text"], answer["language"]) == ("translate", "this is what was said", "english")
    call = says.calls[-1]
    assert call.operation == "translations"
    assert call.fields["prompt"] == ["names: Zoë"]
    assert ask(http, endpoint="translations", response_format="srt").text.startswith("1\n")


# --- what the provider is told ----------------------------------------------------------------------


def test_the_provider_gets_the_same_file_under_its_own_model_name(http, says):
    ask(http, prompt='a "prompt"', temperature="0.2", language="en-US")
    call = says.calls[-1]
    assert call.file.sha256 == hashlib.sha256(SPEECH).hexdigest()
    assert (call.file.name, call.file.mime_type) == ("audio.wav", "audio/wav")
    assert call.fields == {
        "model": ["whisper-1"], "prompt": ['a "prompt"'], "temperature": ["0.2"], "language": ["en"],
        "response_format": ["json"],
    }  # fmt: skip


@pytest.mark.parametrize(("written", "code"), [("en", "en"), ("pt-BR", "pt"), ("German", "de"), ("zh_Hant_TW", "zh")])
def test_languages_are_understood_however_they_are_written(http, says, written, code):
    ask(http, language=written)
    assert says.calls[-1].fields["language"] == [code]


def test_a_field_with_quotes_and_line_breaks_in_its_name_cannot_smuggle_another_in(http, says):
    assert ask(http, **{'x"\r\n\r\nevil\r\n': "1"}).status_code == 200
    assert set(says.calls[-1].fields) == {"model", "response_format", "x%22%0D%0A%0D%0Aevil%0D%0A"}


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_every_audio_format_is_told_by_its_content(http, says, format):
    answer = ask(http, encode(format, 1.0), response_format="verbose_json")
    assert (answer.status_code, answer.json()["text"]) == (200, TEXT)
    assert answer.json()["duration"] == pytest.approx(1.0, abs=0.2)


def test_audio_that_a_model_does_not_take_is_transcoded_for_it(http, says):
    ask(http, encode("aiff", 1.0))
    assert (says.calls[-1].file.name, says.calls[-1].file.head) == ("audio.flac", "fLaC")


def test_a_file_above_a_megabyte_arrives_whole(http, live, says):
    audio = make_wav(100.0)
    answer = ask(http, audio, request_id="large")
    assert answer.status_code == 200
    assert says.calls[-1].file.sha256 == hashlib.sha256(audio).hexdigest()
    assert live.only_record(request_id="large").audio_seconds == 100


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"model": ...}, "model", "lacks 'model'"),
        ({"model": ""}, "model", "lacks 'model'"),
        ({"audio": None}, "file", "lacks 'file'"),
        ({"audio": None, "model": ...}, "file", "lacks 'file' and 'model'"),
        ({"audio": b""}, "file", "empty"),
        ({"audio": b"once upon a time there was no audio at all"}, "file", ""),
        ({"audio": SPEECH[:60]}, "file", "0.1"),
        ({"response_format": "docx"}, "response_format", "json, verbose_json, diarized_json, text, srt, vtt"),
        ({"temperature": "warm"}, "temperature", "'warm'"),
        ({"temperature": "1.5"}, "temperature", "0 to 1"),
        ({"temperature": "nan"}, "temperature", "0 to 1"),
        ({"language": "klingon"}, "language", "'klingon'"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities", "verbose_json"),
        ({"timestamp_granularities": "line", "response_format": "verbose_json"}, "timestamp_granularities", "line"),
        ({"include[]": "thoughts"}, "include", "thoughts"),
        ({"include[]": "logprobs", "response_format": "text"}, "include", "json"),
        ({"stream": "maybe"}, "stream", "'maybe'"),
        ({"stream": "true", "response_format": "srt"}, "response_format", "srt"),
        ({"chunking_strategy[type]": "magic"}, "chunking_strategy", "server_vad"),
        pytest.param({"chunking_strategy": '{"a":' * 20_000}, "chunking_strategy", "server_vad", id="nested"),
        ({"prompt": ["a", "b"]}, "prompt", "2 times"),
    ],
)
def test_a_wrong_form_is_refused_by_the_name_of_what_is_wrong(http, studio, fields, param, said):
    answer = ask(http, **fields)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert said in error["message"]
    assert studio.calls == []


@pytest.mark.parametrize(
    "fields",
    [
        {"chunking_strategy": "auto"},
        {"chunking_strategy": '{"type": "server_vad", "threshold": 0.5}'},
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[silence_duration_ms]": "300"},
        {"include[]": "logprobs"},
        {"include": "logprobs"},
        {"response_format": "verbose_json", "timestamp_granularities": "word,segment"},
        {"stream": "False"},
    ],
)
def test_what_openai_takes_is_taken(http, says, fields):
    assert ask(http, **fields).status_code == 200


def test_an_unknown_model_is_not_found_and_one_that_cannot_hear_says_what_it_can(http):
    answer = ask(http, model="studio/nobody")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")
    answer = ask(http, model="studio/voice")
    assert (answer.status_code, error_of(answer)["param"]) == (400, "model")
    assert "it speaks texts" in error_of(answer)["message"]
    answer = ask(http, endpoint="translations", model="studio/transcribe")
    assert "it transcribes speech" in error_of(answer)["message"]


@pytest.mark.parametrize("format", ["wav", "mp3", "opus"])
def test_audio_that_is_longer_than_the_model_takes_is_refused_before_it_is_sent(http, live, studio, format):
    provider = SpeechModel.objects.get(provider__workspace=live.workspace, name="whisper").provider
    SpeechModel.objects.get_or_create(
        provider=provider, name="brief", upstream_name="brief", speech_to_text=True, max_audio_seconds=2
    )
    wait_for(lambda: http.get("/models/studio/brief").status_code == 200)
    answer = ask(http, encode(format, 2.5), model="studio/brief")
    assert (answer.status_code, error_of(answer)["code"]) == (400, "audio_too_long")
    assert "takes 2" in error_of(answer)["message"]
    assert studio.calls == []


# --- as it is written -------------------------------------------------------------------------------


def events_of(text):
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line]


@pytest.mark.parametrize("model", ["studio/transcribe", "studio/whisper"])
def test_a_stream_is_deltas_a_whole_and_an_end_also_from_models_that_do_not_stream(http, live, says, model):
    answer = ask(http, model=model, stream="true", request_id=model.replace("/", "-"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, end = events_of(answer.text)
    assert end == "[DONE]"
    *deltas, done = [json.loads(event) for event in events]
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert "".join(delta["delta"] for delta in deltas) == TEXT
    assert (len(deltas) > 5) == (model == "studio/transcribe")
    assert done == {"type": "transcript.text.done", "text": TEXT, "usage": {"type": "duration", "seconds": 2.5}}
    record = live.only_record(request_id=model.replace("/", "-"))
    assert (record.result, record.served_by, record.audio_seconds) == ("success", model, 2.5)


def test_the_embedded_engine_streams_its_text_in_one_piece(http):
    *events, end = events_of(ask(http, make_wav(0.5), model="local/pocketsphinx", stream="true").text)
    assert (json.loads(events[-1])["type"], end) == ("transcript.text.done", "[DONE]")


def test_text_reaches_the_client_while_the_provider_still_writes(http, says):
    says.settings(hold_after=2)
    fields = {"model": "studio/transcribe", "stream": "true"}
    with http.stream("POST", "/audio/transcriptions", data=fields, files={"file": SPEECH}) as answer:
        pieces = answer.iter_text()
        assert json.loads(events_of(next(pieces))[0])["delta"] == "Is"
        assert says.open_streams == 1
        says.release()
        assert "".join(pieces).endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("fault", ["die", "end_early", "error_event"])
def test_a_stream_whose_provider_fails_in_the_middle_ends_in_an_error_and_not_well(http, live, says, fault):
    says.fault("transcriptions", fault)
    fields = {"model": "studio/transcribe", "stream": "true"}
    headers = {"X-Request-Id": f"breaks-{fault}"}
    received = []
    with http.stream("POST", "/audio/transcriptions", data=fields, files={"file": SPEECH}, headers=headers) as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(answer.iter_text())
    text = "".join(received)
    assert set(json.loads(events_of(text)[-1])["error"]) == {"message", "type", "param", "code"}
    assert "[DONE]" not in text
    record = live.only_record(request_id=f"breaks-{fault}")
    assert (record.result, record.status, record.served_by) == ("failed", 502, "studio/transcribe")
