"""`POST /v1/audio/speech`, over real sockets."""

import base64
import hashlib
import io
import json
import socket
from contextlib import closing, contextmanager

import av
import httpx
import pytest

from tests.waiting import wait_for

TEXT = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def http(live):
    with httpx.Client(base_url=live.api, headers={"Authorization": f"Bearer {live.key}"}, timeout=60) as client:
        yield client


def wish(**more):
    given = {"model": "studio/voice", "input": TEXT, "voice": "alloy", **more}
    return {name: value for name, value in given.items() if value is not ...}


def speak(http, request_id=None, **more):
    headers = {"X-Request-Id": request_id} if request_id else {}
    return http.post("/audio/speech", json=wish(**more), headers=headers)


@contextmanager
def spoken_stream(http, request_id="", **more):
    with http.stream("POST", "/audio/speech", json=wish(**more), headers={"X-Request-Id": request_id}) as response:
        yield response, response.iter_raw()


def seconds_of(audio):
    with av.open(io.BytesIO(audio)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


# --- what is asked for ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": ...}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"input": ...}, "input"),
        ({"input": " \n"}, "input"),
        ({"input": ["a", "b"]}, "input"),
        ({"input": "ü" * 4097}, "input"),
        ({"voice": ...}, "voice"),
        ({"voice": ""}, "voice"),
        ({"voice": {"name": "alloy"}}, "voice"),
        ({"response_format": "ogg"}, "response_format"),
        ({"response_format": ["mp3"]}, "response_format"),
        ({"speed": 0.2}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"speed": True}, "speed"),
        ({"instructions": 5}, "instructions"),
        ({"stream_format": "ndjson"}, "stream_format"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(http, studio, more, param):
    answer = speak(http, **more)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert f"'{param}'" in error["message"]
    assert studio.calls == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"model": "studio/voice", "input": "\\ud800"}'),
        pytest.param(b'{"input":' * 20_000, id="nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_object_of_texts_is_a_400(http, body):
    assert http.post("/audio/speech", content=body).status_code == 400


def test_a_body_that_is_far_too_large_is_a_413(http):
    assert speak(http, instructions="x" * 300_000).status_code == 413


def test_the_longest_text_is_counted_in_characters_and_not_in_bytes(http, studio):
    studio.settings(seconds_a_character=0.001)
    assert speak(http, input="ü" * 4096).status_code == 200
    assert speak(http, input="🦊" * 4096).status_code == 200
    assert len(studio.calls[-1].fields["input"]) == 4096


def test_what_is_asked_for_reaches_the_provider(http, studio):
    speak(http, speed=1.5, instructions="Whisper.", response_format="flac", voice={"id": "alloy"})
    asked = studio.calls[-1].fields
    assert asked["model"] == "gpt-4o-mini-tts"
    assert (asked["input"], asked["voice"], asked["speed"], asked["instructions"], asked["response_format"]) == (
        TEXT, "alloy", 1.5, "Whisper.", "flac",
    )  # fmt: skip


def test_a_model_that_only_hears_is_refused_and_an_unknown_one_is_not_found(http):
    answer = speak(http, model="studio/whisper")
    assert answer.status_code == 400
    assert "speaks texts" in answer.json()["error"]["message"]
    answer = speak(http, model="studio/nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


# --- what is answered -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("mp3", "audio/mpeg"), ("opus", "audio/opus"), ("aac", "audio/aac"),
        ("flac", "audio/flac"), ("wav", "audio/wav"), ("pcm", "audio/pcm"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("model", "voice"), [("studio/voice", "alloy"), ("local/espeak-ng", "en-us")])
def test_every_model_speaks_in_every_encoding(http, studio, model, voice, encoding, content_type):
    answer = speak(http, model=model, voice=voice, response_format=encoding)
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert answer.headers["x-earshot-model"] == model
    seconds = len(answer.content) / 48_000 if encoding == "pcm" else seconds_of(answer.content)
    assert 1.5 < seconds < 5


def test_mp3_is_what_one_gets_who_asks_for_nothing(http, studio):
    assert speak(http).headers["content-type"] == "audio/mpeg"


def test_audio_reaches_the_listener_while_the_provider_still_speaks(http, studio):
    studio.settings(hold_after=2, parts=6)
    with spoken_stream(http, response_format="wav") as (_, pieces):
        assert len(next(pieces)) > 1000
        assert studio.open_streams == 1
        studio.release()
        rest = b"".join(pieces)
    assert len(rest) > 50_000


def test_audio_that_must_be_transcoded_is_on_its_way_before_the_provider_ends_too(http, studio):
    studio.settings(hold_after=2, parts=6)
    with spoken_stream(http, model="studio/plain-voice", response_format="mp3") as (response, pieces):
        first = next(pieces)
        assert response.headers["content-type"] == "audio/mpeg"
        assert studio.open_streams == 1
        assert studio.calls[-1].fields["response_format"] == "wav"
        studio.release()
        audio = first + b"".join(pieces)
    assert seconds_of(audio) == pytest.approx(len(TEXT) * 0.06, abs=0.1)


def test_events_hold_the_same_audio_and_end_with_what_was_used(http, studio):
    plain = speak(http, response_format="pcm").content
    answer = speak(http, response_format="pcm", stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == plain
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["characters"] == len(TEXT)


def test_tokens_that_a_provider_does_not_count_are_unknown_and_not_0(http):
    answer = speak(http, model="local/espeak-ng", voice="en-us", stream_format="sse")
    done = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    assert done["usage"] == {
        "input_tokens": None, "output_tokens": None, "total_tokens": None, "characters": len(TEXT),
    }  # fmt: skip


# --- what goes wrong --------------------------------------------------------------------------------


def test_a_provider_that_dies_in_the_middle_breaks_the_answer_off(http, live, studio):
    studio.fault("speech", "die")
    with pytest.raises(httpx.RemoteProtocolError):
        speak(http, "dies", response_format="wav")
    record = live.only_record(request_id="dies")
    assert (record.result, record.status, record.characters) == ("failed", 502, len(TEXT))


def test_events_that_a_provider_does_not_end_are_broken_off_too(http, studio):
    studio.fault("speech", "die")
    with pytest.raises(httpx.RemoteProtocolError):
        speak(http, stream_format="sse")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"what": "status", "status": 500}, 502),
        ({"what": "status", "status": 401}, 503),
        ({"what": "status", "status": 404}, 502),
        ({"what": "status", "status": 429, "retry_after": 7}, 429),
        ({"what": "status", "status": 400, "message": "The voice is hoarse."}, 400),
        ({"what": "drop"}, 502),
        ({"what": "empty"}, 502),
    ],
)
def test_a_provider_that_fails_before_its_first_byte_is_an_error_that_costs_nothing(http, live, studio, fault, status):
    studio.fault("speech", **fault)
    request_id = f"fails-{fault['what']}-{fault.get('status')}"
    answer = speak(http, request_id)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    record = live.only_record(request_id=request_id)
    assert (record.result, record.status, record.characters) == ("failed", status, None)


def test_the_next_model_of_an_alias_speaks_when_the_first_fails(http, live, studio):
    studio.fault("speech", "status", status=503)
    answer = speak(http, "falls-back", model="narrator", voice="en-us", response_format="wav")
    assert (answer.status_code, answer.headers["x-earshot-model"]) == (200, "local/espeak-ng")
    record = live.only_record(request_id="falls-back")
    assert (record.model_name, record.served_by, record.result) == ("narrator", "local/espeak-ng", "success")
    studio.clear_faults()
    studio.fault("speech", "die")  # after the first byte it is too late
    with pytest.raises(httpx.RemoteProtocolError):
        speak(http, model="narrator", voice="en-us")


def test_a_second_model_without_the_voice_does_not_make_a_failure_the_callers(http, live, studio):
    studio.fault("speech", "status", status=503)
    answer = speak(http, model="narrator", voice="alloy")  # which eSpeak does not have
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_error")
    assert speak(http, model="local/espeak-ng", voice="alloy").status_code == 400


def test_a_listener_who_leaves_stops_the_provider(http, live, studio):
    studio.settings(hold_after=2)
    with spoken_stream(http, "leaves", response_format="wav") as (_, pieces):
        next(pieces)
        assert studio.open_streams == 1
    wait_for(lambda: studio.open_streams == 0)
    record = live.only_record(request_id="leaves")
    assert (record.result, record.characters) == ("disconnected", len(TEXT))


def test_a_slow_listener_makes_the_provider_wait(live, studio):
    studio.settings(parts=400, seconds_a_character=0.2)
    body = json.dumps(wish(input="a" * 4096, response_format="pcm")).encode()  # a quarter of an hour, 39 MB
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.connect(("127.0.0.1", int(live.address.rpartition(":")[2])))
        head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {live.key}\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        assert slow.recv(12) == b"HTTP/1.1 200"
        wait_for(lambda: studio.held_up)
        assert studio.open_streams == 1
        with closing(slow.makefile("rb")) as stream:
            received = sum(len(piece) for piece in iter(lambda: stream.read(65536), b""))
    assert received > 4096 * 0.2 * 48_000
    assert studio.open_streams == 0


# --- what is written down ---------------------------------------------------------------------------


def test_a_call_is_in_the_ledger_once_with_its_characters_and_times(http, live, studio):
    body = json.dumps(wish(input="Grüße 🦊")).encode()
    answer = http.post("/audio/speech", content=body, headers={"X-Request-Id": "counted"})
    assert answer.headers["x-request-id"] == "counted"
    record = live.only_record(request_id="counted")
    assert (record.endpoint, record.result, record.status) == ("speech", "success", 200)
    assert (record.model_name, record.served_by, record.key_name) == ("studio/voice", "studio/voice", "application")
    assert record.characters == 7
    assert record.body_sha256 == hashlib.sha256(body).hexdigest()
    assert 0 < record.first_byte <= record.latency


def test_a_refused_request_is_not_in_the_ledger(http, live):
    speak(http, "refused", speed=9)
    assert live.records(0, request_id="refused") == []
