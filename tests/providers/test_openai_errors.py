"""Each way in which a provider can fail by OpenAI's protocol, and the reason that people are told."""

import asyncio
import email.utils
import socket
import time

import pytest

from providers.adapters.base import ModelConfig, ProviderConfig, ProviderError
from providers.adapters.openai import OpenAICompatibleAdapter
from providers.adapters.openai.adapter import hearing_seconds
from providers.connection_test import WavAudio
from providers.reasons import Reason
from tests.audio import make_wav
from tests.providers.openai_calls import (
    STREAMS,
    WHISPER,
    chat_parts,
    collect,
    compatible,
    hear,
    hearing,
    official,
    speak,
    speak_parts,
)


def failure(call, *args, **more):
    with pytest.raises(ProviderError) as caught:
        call(*args, **more)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "reason", "retryable"),
    [
        ({"status": 401, "code": "invalid_api_key"}, Reason.INVALID_CREDENTIALS, False),
        ({"status": 403, "code": "unsupported_country_region_territory"}, Reason.INVALID_CREDENTIALS, False),
        ({"status": 403, "code": "model_not_found"}, Reason.REQUEST_REFUSED, False),
        ({"status": 404, "code": "model_not_found"}, Reason.REQUEST_REFUSED, False),
        ({"status": 402}, Reason.QUOTA_EXHAUSTED, False),
        ({"status": 429, "code": "insufficient_quota"}, Reason.QUOTA_EXHAUSTED, False),
        ({"status": 429, "type": "insufficient_quota"}, Reason.QUOTA_EXHAUSTED, False),
        ({"status": 429, "code": "rate_limit_exceeded"}, Reason.RATE_LIMITED, True),
        ({"status": 400, "message": "Unknown parameter: 'prompt'."}, Reason.REQUEST_REFUSED, False),
        ({"status": 400, "code": "content_policy_violation"}, Reason.BLOCKED, False),
        ({"status": 413, "message": "Maximum content size limit exceeded"}, Reason.AUDIO_TOO_LONG, False),
        ({"status": 415, "message": "No."}, Reason.UNSUPPORTED_FORMAT, False),
        ({"status": 400, "message": "Invalid file format. Supported: ['wav']"}, Reason.UNSUPPORTED_FORMAT, False),
        ({"status": 400, "message": "Audio file might be corrupted or unsupported"}, Reason.UNSUPPORTED_FORMAT, False),
        ({"status": 400, "message": "Maximum clip duration (30s) exceeded."}, Reason.AUDIO_TOO_LONG, False),
        ({"status": 408}, Reason.TIMEOUT, True),
        ({"status": 409}, Reason.PROVIDER_ERROR, True),
        ({"status": 500}, Reason.PROVIDER_ERROR, True),
        ({"status": 501}, Reason.PROVIDER_ERROR, False),
        ({"status": 502, "body": "<html>Bad Gateway</html>"}, Reason.PROVIDER_ERROR, True),
        ({"status": 504}, Reason.TIMEOUT, True),
        ({"status": 307}, Reason.PROVIDER_ERROR, False),
    ],
)
def test_an_error_answer_has_its_reason(openai, fault, reason, retryable):
    openai.fault("transcriptions", "status", **fault)
    error = failure(hear, openai)
    assert (error.reason, error.retryable, error.status) == (reason, retryable, fault["status"])
    assert len(openai.calls) == 1  # whether it is repeated is for others to say


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("drop", Reason.PROVIDER_ERROR),
        ("garbage", Reason.PROVIDER_ERROR),
        ("empty", Reason.PROVIDER_ERROR),
        ("cut", Reason.PROVIDER_ERROR),
        ("error_body", Reason.PROVIDER_ERROR),
        ("hang", Reason.TIMEOUT),
    ],
)
def test_an_answer_that_is_none_has_its_reason_and_may_be_asked_for_again(openai, fault, reason):
    openai.fault("transcriptions", fault)
    error = failure(hear, openai, ModelConfig("whisper-1", {"timeout_seconds": 0.3}))
    assert (error.reason, error.retryable, error.status) == (reason, True, None)
    assert not error.refused
    assert len(openai.calls) == 1


def test_a_spent_quota_in_a_good_answer_is_a_spent_quota(openai):
    openai.fault("transcriptions", "error_body", code="insufficient_quota", message="Buy credits.")
    error = failure(hear, openai)
    assert (error.reason, error.retryable) == (Reason.QUOTA_EXHAUSTED, False)
    assert "Buy credits." in str(error)


def test_a_provider_that_is_not_there_is_an_error_that_may_pass():
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        adapter = OpenAICompatibleAdapter(ProviderConfig("openai_compatible", "gone", url))
        error = failure(lambda: asyncio.run(adapter.transcribe(WHISPER, hearing())))
    assert (error.reason, error.retryable) == (Reason.PROVIDER_ERROR, True)
    assert "nothing listens" in str(error)


def test_a_name_that_no_host_has_is_said_to_be_that():
    adapter = OpenAICompatibleAdapter(ProviderConfig("openai_compatible", "gone", "http://gone.invalid/v1"))
    error = failure(lambda: asyncio.run(adapter.transcribe(WHISPER, hearing())))
    assert "no host of that name" in str(error)


def test_an_address_without_its_end_is_told_apart_from_a_refused_request(openai):
    adapter = OpenAICompatibleAdapter(ProviderConfig("openai_compatible", "box", openai.url.removesuffix("/v1")))
    error = failure(lambda: asyncio.run(adapter.list_models()))
    assert (error.reason, error.status) == (Reason.REQUEST_REFUSED, 404)
    assert "most end in /v1" in str(error)


@pytest.mark.parametrize("asked", ["7", "0.5"])
def test_the_pause_that_the_provider_asks_for_is_passed_on(openai, asked):
    openai.fault("transcriptions", "status", status=429, retry_after=asked)
    assert failure(hear, openai).retry_after == float(asked)


def test_a_pause_may_be_a_date(openai):
    until = email.utils.formatdate(time.time() + 100, usegmt=True)
    openai.fault("transcriptions", "status", status=503, retry_after=until)
    assert 90 < failure(hear, openai).retry_after < 101


@pytest.mark.parametrize("asked", ["soon", "nan", "inf", "-5"])
def test_a_pause_that_is_none_is_ignored(openai, asked):
    openai.fault("transcriptions", "status", status=429, retry_after=asked)
    assert not failure(hear, openai).retry_after


def test_longer_audio_has_more_time_but_never_more_than_a_call_may_take(settings):
    settings.CALL_TIMEOUT_SECONDS = 200

    def limit(seconds, **options):
        return hearing_seconds(ModelConfig("whisper-1", options), hearing(WavAudio(make_wav(seconds))))

    assert limit(1.0) < limit(20.0) < limit(60.0) == 200
    assert limit(60.0, timeout_seconds=5) == 5


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("fault", ["die", "status"])
def test_a_stream_that_breaks_raises_and_never_ends_well(openai, stream, fault):
    openai.fault("*", fault, status=500)
    adapter = compatible(openai)
    error = failure(lambda: asyncio.run(collect(STREAMS[stream](adapter))))
    assert (error.reason, error.retryable) == (Reason.PROVIDER_ERROR, True)


@pytest.mark.parametrize("stream", ["transcript", "speech events", "chat"])
@pytest.mark.parametrize("fault", ["end_early", "error_event"])
def test_a_stream_without_its_last_event_is_not_whole(openai, stream, fault):
    openai.fault("*", fault, code="server_error", message="Out of memory.")
    adapter = compatible(openai)
    if (stream, fault) == ("chat", "end_early"):  # its last event only says that nothing more comes
        assert asyncio.run(collect(STREAMS[stream](adapter)))[-1].output_tokens == 4
        return
    error = failure(lambda: asyncio.run(collect(STREAMS[stream](adapter))))
    assert error.reason == Reason.PROVIDER_ERROR
    assert ("Out of memory." in str(error)) == (fault == "error_event")


def test_a_limit_in_the_middle_of_a_stream_is_a_limit(openai):
    openai.fault("chat", "error_event", code="rate_limit_exceeded", message="Slow down.")
    error = failure(chat_parts, openai)
    assert (error.reason, error.retryable) == (Reason.RATE_LIMITED, True)


def test_speech_that_is_too_long_a_text_is_not_called_long_audio(openai):
    error = failure(speak, openai, "x" * 5000)
    assert (error.reason, error.status) == (Reason.REQUEST_REFUSED, 400)
    assert "string too long" in str(error)


PRIVATE = "the patient is called Zoë"


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "cannot do: the patient is called Zo\u00eb", "type": "x"}}',
        '{"detail": [{"loc": ["body"], "msg": "bad value", "input": "the patient is called Zo\u00eb"}]}',
        "{\"message\": \"1 validation error: {'type': 'x', 'input': {'a': 'the \\\\n patient'}}\"}",
        "the patient is called Zo\u00eb",
        '{"error": {"message": "no such key: sk-very-secret"}}',
    ],
)
def test_no_error_repeats_what_was_sent(openai, body):
    openai.fault("*", "status", status=422, body=body)
    secret = compatible(openai, key="sk-very-secret")
    errors = [
        failure(lambda: asyncio.run(secret.transcribe(WHISPER, hearing(prompt=PRIVATE)))),
        failure(speak_parts, openai, PRIVATE),
        failure(chat_parts, openai, PRIVATE, adapter=secret),
    ]
    for error in errors:
        assert error.reason == Reason.REQUEST_REFUSED
        assert str(error).startswith("422: ")
        assert "patient" not in str(error)
    assert "secret" not in str(errors[0]) + str(errors[2])


def test_an_error_is_as_the_provider_says_it_but_not_endless(openai):
    openai.fault("transcriptions", "status", status=400, message="No  such\nthing. " + "x" * 5000)
    error = str(failure(hear, openai))
    assert error.startswith("400: No such thing. xxx")
    assert len(error) < 600


@pytest.mark.parametrize("key", ["sk-\u00fc", "sk-1\n2"])
def test_a_key_that_cannot_be_sent_is_refused_before_anything_is(openai, key):
    error = failure(hear, openai, adapter=official(openai, key))
    assert error.reason == Reason.INVALID_CREDENTIALS
    assert openai.calls == []
