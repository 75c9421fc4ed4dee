"""The unmodified openai-python against the live site: whatever it can ask of OpenAI's audio endpoints, it can here."""

import base64
import io
import json
import time

import openai
import pytest
from openai import OpenAI

from accounts.models import ApiKey, Organization, Workspace
from gateway.models import Budget
from tests.audio import encode, make_wav

TEXT = "we heard two foxes in the garden"
FORMATS = ["wav", "mp3", "flac", "m4a", "ogg", "webm"]


@pytest.fixture(scope="module")
def client(live):
    with OpenAI(api_key=live.key, base_url=live.api, max_retries=0) as client:
        yield client


@pytest.fixture
def hearing(studio):
    """The provider hears TEXT in everything."""
    studio.settings(text=TEXT)
    return studio


@pytest.fixture(scope="module")
def audio():
    return make_wav(2.0)


# --- transcriptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["studio/whisper", "studio/transcribe"])
def test_a_transcription_is_its_text(client, hearing, audio, model):
    answer = client.audio.transcriptions.create(model=model, file=("speech.wav", audio))
    assert answer.text == TEXT
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 2)


@pytest.mark.parametrize("format", FORMATS)
def test_every_audio_format_is_taken_from_bytes_without_a_name(client, hearing, format):
    assert client.audio.transcriptions.create(model="studio/whisper", file=encode(format, 1.0)).text == TEXT


def test_a_path_and_an_open_file_are_taken(client, hearing, audio, tmp_path):
    path = tmp_path / "speech.wav"
    path.write_bytes(audio)
    assert client.audio.transcriptions.create(model="studio/whisper", file=path).text == TEXT
    with path.open("rb") as file:
        assert client.audio.transcriptions.create(model="studio/whisper", file=file).text == TEXT


@pytest.mark.parametrize("model", ["studio/whisper", "studio/transcribe"])
def test_text_srt_and_vtt_are_bodies_of_their_own(client, hearing, audio, model):
    def transcribed(format):
        return client.audio.transcriptions.create(model=model, file=audio, response_format=format)

    assert transcribed("text").strip() == TEXT
    srt, vtt = transcribed("srt"), transcribed("vtt")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:0")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0")
    assert all(word in srt and word in vtt for word in TEXT.split())


@pytest.mark.parametrize("model", ["studio/whisper", "studio/transcribe"])
def test_verbose_json_has_duration_language_and_segments(client, hearing, audio, model):
    answer = client.audio.transcriptions.create(model=model, file=audio, response_format="verbose_json", language="en")
    assert (answer.text, answer.duration) == (TEXT, 2.0)
    assert answer.language in ("en", "english")
    assert "".join(f" {segment.text.strip()}" for segment in answer.segments).strip() == TEXT
    assert answer.segments[0].start == 0
    assert answer.segments[-1].end == pytest.approx(2.0, abs=0.01)


def test_words_have_their_times(client, hearing, audio):
    answer = client.audio.transcriptions.create(
        model="studio/whisper", file=audio, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert [word.word for word in answer.words] == TEXT.split()
    assert answer.words[0].start < answer.words[0].end <= answer.words[1].start
    assert answer.segments


def test_speakers_are_told_apart(client, hearing, audio):
    answer = client.audio.transcriptions.create(
        model="studio/diarize", file=audio, response_format="diarized_json", chunking_strategy="auto"
    )
    assert (answer.text, answer.duration, answer.segments[0].speaker) == (TEXT, 2.0, "A")
    assert hearing.calls[-1].fields["chunking_strategy"] == ["auto"]


def test_wishes_reach_the_provider(client, hearing, audio):
    client.audio.transcriptions.create(
        model="studio/whisper", file=audio, language="en-US", prompt="Names: Reynard.", temperature=0.3
    )
    fields = hearing.calls[-1].fields
    assert (fields["language"], fields["prompt"], fields["temperature"]) == (["en"], ["Names: Reynard."], ["0.3"])


@pytest.mark.parametrize("model", ["studio/transcribe", "studio/whisper"])
def test_a_transcription_is_streamed_word_by_word(client, hearing, audio, model):
    """whisper does not stream: its text comes in one piece, in the same events."""
    with client.audio.transcriptions.create(model=model, file=audio, stream=True) as stream:
        *deltas, done = list(stream)
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas) == TEXT
    assert (done.type, done.text) == ("transcript.text.done", TEXT)
    assert len(deltas) == (7 if model == "studio/transcribe" else 1)


def test_words_arrive_while_the_provider_still_writes(client, hearing, audio):
    hearing.settings(hold_after=3)
    with client.audio.transcriptions.create(model="studio/transcribe", file=audio, stream=True) as stream:
        assert next(iter(stream)).delta == "we"
        assert hearing.open_streams == 1
        hearing.release()
        assert list(stream)[-1].text == TEXT


def test_a_stream_that_a_provider_breaks_off_raises(client, hearing, audio):
    hearing.fault("transcriptions", "die")
    with client.audio.transcriptions.create(model="studio/transcribe", file=audio, stream=True) as stream:
        with pytest.raises(openai.APIError):
            list(stream)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI's own model of it is
@pytest.mark.parametrize("format", ["json", "text", "srt", "verbose_json", "vtt"])
def test_translations_come_in_every_format(client, studio, audio, format):
    answer = client.audio.translations.create(model="studio/whisper", file=audio, response_format=format)
    text = answer if isinstance(answer, str) else answer.text
    assert "this is what was said" in text
    if format == "verbose_json":
        assert (answer.duration, answer.segments[0].start) == (2.0, 0)


def test_the_embedded_engines_speak_and_hear_without_any_key(client):
    spoken = client.audio.speech.create(
        model="local/espeak-ng", voice="en-us", input="hello world", response_format="wav"
    ).read()
    for format in ("json", "verbose_json"):
        heard = client.audio.transcriptions.create(
            model="local/pocketsphinx", file=("said.wav", spoken), response_format=format
        )
        assert heard.text
    assert heard.segments[-1].end == pytest.approx(heard.duration, abs=0.5)


# --- speech -----------------------------------------------------------------------------------------

MAGIC = {"mp3": b"\xff\xf3", "opus": b"OggS", "aac": b"\xff\xf1", "flac": b"fLaC", "wav": b"RIFF", "pcm": b""}


@pytest.mark.parametrize("model", ["studio/voice", "local/espeak-ng"])
@pytest.mark.parametrize("encoding", MAGIC)
def test_speech_comes_in_every_encoding(client, studio, tmp_path, model, encoding):
    voice = "alloy" if model == "studio/voice" else "en-us"
    answer = client.audio.speech.create(model=model, voice=voice, input=TEXT, response_format=encoding)
    answer.write_to_file(tmp_path / f"speech.{encoding}")
    content = (tmp_path / f"speech.{encoding}").read_bytes()
    assert len(content) > 3000
    assert content.startswith((MAGIC[encoding], b"ID3") if encoding == "mp3" else MAGIC[encoding])


def test_speech_streams_as_bytes(client, studio):
    studio.settings(hold_after=2)
    with client.audio.speech.with_streaming_response.create(
        model="studio/voice", voice="alloy", input=TEXT, response_format="pcm", instructions="Slowly.", speed=0.8
    ) as response:
        pieces = response.iter_bytes(1024)
        assert next(pieces)
        assert studio.open_streams == 1
        studio.release()
        assert sum(len(piece) for piece in pieces) > 50_000


def test_speech_streams_as_events(client, studio):
    with client.audio.speech.with_streaming_response.create(
        model="studio/voice", voice="alloy", input=TEXT, response_format="pcm", stream_format="sse"
    ) as response:
        events = [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(audio) > 50_000
    assert events[-1]["type"] == "speech.audio.done"


def test_speech_that_a_provider_breaks_off_raises(client, studio):
    studio.fault("speech", "die")
    with client.audio.speech.with_streaming_response.create(
        model="studio/voice", voice="alloy", input=TEXT, response_format="wav"
    ) as response:
        with pytest.raises(Exception, match=r"closed|incomplete"):
            response.read()


# --- models -----------------------------------------------------------------------------------------


def test_models_are_listed_and_shown(client):
    names = {model.id for model in client.models.list()}
    assert {"studio/whisper", "studio/voice", "local/pocketsphinx", "local/espeak-ng"} <= names
    assert client.models.retrieve("studio/whisper").id == "studio/whisper"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("studio/nothing")


def test_an_alias_is_asked_for_as_a_model_is(client, hearing, audio):
    hearing.fault("transcriptions", "status", match="gpt-4o-transcribe", status=503)
    answer = client.audio.transcriptions.with_raw_response.create(model="whisper-1", file=audio)
    assert answer.parse().text == TEXT
    assert answer.headers["x-earshot-model"] == "studio/whisper"


# --- errors -----------------------------------------------------------------------------------------


def transcribe(client, model="studio/whisper", file=None, **more):
    return client.audio.transcriptions.create(model=model, file=make_wav(0.5) if file is None else file, **more)


def assert_explained(error, kind=None, param=None):
    body = error.body
    assert set(body) == {"message", "type", "param", "code"}
    assert body["message"]
    assert kind is None or body["type"] == kind
    assert param is None or body["param"] == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"file": b""}, "file"),
        ({"file": b"no audio at all, just words"}, "file"),
        ({"file": make_wav(0.02)}, "file"),
        ({"model": ""}, "model"),
        ({"model": "studio/voice"}, "model"),
        ({"response_format": "docx"}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"temperature": "warm"}}, "temperature"),
        ({"timestamp_granularities": ["letter"], "response_format": "verbose_json"}, "timestamp_granularities"),
    ],
)
def test_a_wrong_request_is_a_bad_request_error(client, more, param):
    with pytest.raises(openai.BadRequestError) as caught:
        transcribe(client, **more)
    assert_explained(caught.value, "invalid_request_error")
    assert caught.value.body["param"].removesuffix("[]") == param


def test_a_wrong_key_is_an_authentication_error(live):
    for key in ("wrong", "es_0123456789"):
        with OpenAI(api_key=key, base_url=live.api, max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                transcribe(client)
    assert_explained(caught.value)
    assert caught.value.code == "invalid_api_key"


def test_an_inactive_tenant_is_a_permission_denied_error(live):
    organization = Organization.objects.create(name="Gone", is_active=False)
    workspace = Workspace.objects.create(organization=organization, name="Gone", slug=f"gone-{time.time_ns()}")
    with OpenAI(api_key=live.make_key(workspace=workspace), base_url=live.api, max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            transcribe(client)
    assert_explained(caught.value)


def test_an_unknown_model_is_a_not_found_error(client):
    with pytest.raises(openai.NotFoundError) as caught:
        transcribe(client, model="gpt-9")
    assert_explained(caught.value, "invalid_request_error", "model")
    assert caught.value.code == "model_not_found"


def test_a_file_that_is_too_large_is_a_413(client):
    with pytest.raises(openai.APIStatusError) as caught:
        transcribe(client, file=io.BytesIO(make_wav(1.0) + bytes(26 * 1024 * 1024)))
    assert caught.value.status_code == 413
    assert_explained(caught.value, param="file")


def test_too_many_requests_are_a_rate_limit_error(live, studio):
    key = live.make_key("limited", requests_per_minute=2)
    with OpenAI(api_key=key, base_url=live.api, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            [client.models.list() for _ in range(8)]
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert_explained(caught.value)


def test_a_budget_that_is_spent_is_a_402(live, studio):
    key = live.make_key("poor")
    Budget.objects.create(workspace=live.workspace, api_key=ApiKey.objects.get(name="poor"), monthly_usd=0)
    with OpenAI(api_key=key, base_url=live.api, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            transcribe(client)
    assert caught.value.status_code == 402
    assert_explained(caught.value)
    assert studio.calls == []


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ({"what": "status", "status": 400, "message": "The audio is odd."}, openai.BadRequestError, 400),
        ({"what": "status", "status": 401}, openai.InternalServerError, 503),
        ({"what": "status", "status": 403}, openai.InternalServerError, 503),
        ({"what": "status", "status": 404}, openai.InternalServerError, 502),
        ({"what": "status", "status": 429, "retry_after": 5}, openai.RateLimitError, 429),
        ({"what": "status", "status": 500}, openai.InternalServerError, 502),
        ({"what": "status", "status": 504}, openai.InternalServerError, 504),
        ({"what": "drop"}, openai.InternalServerError, 502),
        ({"what": "garbage"}, openai.InternalServerError, 502),
        ({"what": "empty"}, openai.InternalServerError, 502),
        ({"what": "error_body"}, openai.InternalServerError, 502),
    ],
)
def test_what_fails_at_the_provider_is_an_error_that_says_whose_fault_it_is(client, studio, fault, error, status):
    studio.fault("transcriptions", **fault)
    with pytest.raises(error) as caught:
        transcribe(client)
    assert caught.value.status_code == status
    assert_explained(caught.value)
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "5"


def test_a_call_can_be_found_by_its_request_id(client, live, hearing, audio):
    answer = client.audio.transcriptions.with_raw_response.create(model="studio/whisper", file=audio)
    record = live.only_record(request_id=answer.headers["x-request-id"])
    assert answer.parse()._request_id == record.request_id
    assert (record.endpoint, record.result, record.audio_seconds) == ("transcription", "success", 2.0)
