"""Gemini speaks and chats: through the real SDK, against the stand-in."""

import asyncio
import base64
import io
import json
import logging
import re
import threading
import traceback
import wave
from contextlib import aclosing

import pytest

from providers.adapters.base import (
    CapabilityNotSupported,
    ChatMessage,
    ChatRequest,
    ModelConfig,
    ProviderConfig,
    ProviderError,
    SpeechRequest,
)
from providers.adapters.gemini import GeminiAdapter
from providers.adapters.gemini.speech import SpeechReader
from providers.reasons import Reason
from providers.wav import wav_file
from tests.servers.gemini import API_KEY, GeminiServer
from tests.servers.gemini.streams import speech_of
from tests.waiting import async_wait_for, wait_for

VOICE = ModelConfig("gemini-3.8-flash-tts")
CHAT = ModelConfig("gemini-3.8-flash")
TEXT = "Good morning, this is a sentence."
HELLO = ChatRequest((ChatMessage("user", "Hello?"),))


@pytest.fixture(scope="module")
def server():
    with GeminiServer.start() as server:
        yield server


@pytest.fixture(scope="module")
def adapter(server):
    adapter = GeminiAdapter(ProviderConfig("gemini", "gemini", server.base_url, API_KEY))
    yield adapter
    adapter.close()


@pytest.fixture
def gemini(server):
    server.reset()
    return server


async def listed(stream):
    async with aclosing(stream):
        return [part async for part in stream]


def all_of(stream):
    return asyncio.run(listed(stream))


def speak(adapter, text=TEXT, model=VOICE, **wishes):
    return asyncio.run(adapter.speak(model, SpeechRequest(text, **wishes)))


def chat(adapter, request=HELLO):
    return all_of(adapter.stream_chat(CHAT, request))


def failure(call, *args):
    with pytest.raises(ProviderError) as failed:
        call(*args)
    return failed.value


# --- Speech -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mime_type", "rate"), [("audio/L16;codec=pcm;rate=16000", 16_000), ("audio/pcm; rate=24000", 24_000)]
)
def test_raw_speech_becomes_a_wav_file_at_the_rate_that_its_type_says(adapter, gemini, mime_type, rate):
    gemini.settings(speech_mime_type=mime_type)
    speech = speak(adapter)
    with wave.open(io.BytesIO(speech.audio)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (rate, 1, 2)
        assert reader.readframes(10**6) == speech_of(TEXT)
    assert speech.sample_rate == rate
    assert speech.input_tokens > 0
    assert speech.output_tokens > 0


def test_speech_in_a_wav_file_is_the_same_speech(adapter, gemini):
    gemini.settings(speech_mime_type="audio/wav", speech_rate=44_100)
    speech = speak(adapter)
    assert speech.sample_rate == 44_100
    with wave.open(io.BytesIO(speech.audio)) as reader:
        assert reader.readframes(10**6) == speech_of(TEXT)


@pytest.mark.parametrize("mime_type", ["audio/L16;codec=pcm;rate=24000", "audio/wav"])
def test_streamed_speech_is_the_whole_speech_in_parts(adapter, gemini, mime_type):
    gemini.settings(speech_mime_type=mime_type, stream_pieces=7)
    parts = all_of(adapter.stream_speech(VOICE, SpeechRequest(TEXT)))
    assert b"".join(part.audio for part in parts) == speech_of(TEXT)
    assert {(part.encoding, part.sample_rate) for part in parts} == {("pcm", 24_000)}
    assert len(parts) > 6
    assert [part.output_tokens is None for part in parts] == [True] * (len(parts) - 1) + [False]


def test_the_voice_is_the_callers_or_the_models_and_instructions_come_first(adapter, gemini):
    speak(adapter, voice="Puck", instructions="Say it like a pirate:")
    speak(adapter, model=ModelConfig(VOICE.upstream_name, {"voice": "Zephyr"}))
    speak(adapter)
    asked = gemini.state()["asked"]
    assert [voice_of(request) for request in asked] == ["Puck", "Zephyr", "Kore"]
    assert [text_of(request) for request in asked] == [f"Say it like a pirate:\n{TEXT}", TEXT, TEXT]


def voice_of(request):
    return re.search(r'"voice_?name": "(\w+)"', json.dumps(request), re.IGNORECASE)[1]


def text_of(request):
    return request["contents"][0]["parts"][0]["text"]


def test_a_speed_is_refused_before_anything_is_sent(adapter, gemini):
    wish = SpeechRequest(TEXT, speed=2)
    for call in (adapter.speak(VOICE, wish), listed(adapter.stream_speech(VOICE, wish))):
        with pytest.raises(CapabilityNotSupported, match="leave it at 1"):
            asyncio.run(call)
    assert gemini.state()["calls"] == {}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("blocked_safety", Reason.BLOCKED),
        ("blocked_prompt", Reason.BLOCKED),
        ("no_candidates", Reason.NO_CANDIDATES),
        ("empty_text", Reason.EMPTY_OUTPUT),
        ("max_tokens", Reason.CUT_OFF),
    ],
)
def test_speech_that_is_not_whole_fails_with_its_reason(adapter, gemini, fault, reason):
    gemini.fault("answer", fault)
    assert failure(speak, adapter).reason == reason
    assert failure(all_of, adapter.stream_speech(VOICE, SpeechRequest(TEXT))).reason == reason


@pytest.mark.parametrize("mime_type", ["audio/L16", "audio/mpeg", ""])
def test_speech_of_an_unknown_kind_is_an_error_of_the_provider(adapter, gemini, mime_type):
    gemini.settings(speech_mime_type=mime_type)
    assert failure(speak, adapter).reason == Reason.PROVIDER_ERROR


# --- Chat ---------------------------------------------------------------------------------------


def test_chat_comes_word_by_word_and_ends_with_its_tokens(adapter, gemini):
    gemini.settings(thoughts_tokens=5)
    parts = chat(adapter)
    assert len(parts) == 7  # six words, and the end
    assert len("".join(part.text for part in parts).split()) == 6
    assert parts[-1].input_tokens == 1
    assert parts[-1].output_tokens == 6 + 5
    assert not parts[-1].truncated


def test_a_conversation_is_sent_with_its_roles_and_limits(adapter, gemini):
    said = [("system", "Be brief."), ("user", "Hello?"), ("assistant", "Hi."), ("user", "How are you?")]
    chat(adapter, ChatRequest(tuple(ChatMessage(*turn) for turn in said), temperature=0.5, max_output_tokens=64))
    (request,) = gemini.state()["asked"]
    assert request["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert [(turn["role"], turn["parts"][0]["text"]) for turn in request["contents"]] == [
        ("user", "Hello?"),
        ("model", "Hi."),
        ("user", "How are you?"),
    ]
    assert request["generationConfig"] == {"temperature": 0.5, "maxOutputTokens": 64}


def test_with_instructions_alone_the_model_speaks_first(adapter, gemini):
    assert chat(adapter, ChatRequest((ChatMessage("system", "Greet the caller."),)))
    (request,) = gemini.state()["asked"]
    assert [turn["role"] for turn in request["contents"]] == ["user"]


def test_an_answer_that_is_cut_off_says_so(adapter, gemini):
    gemini.fault("answer", "max_tokens")
    assert chat(adapter)[-1].truncated


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("blocked_safety", Reason.BLOCKED),
        ("blocked_prompt", Reason.BLOCKED),
        ("no_candidates", Reason.NO_CANDIDATES),
        ("empty_text", Reason.EMPTY_OUTPUT),
    ],
)
def test_chat_without_an_answer_fails_with_its_reason(adapter, gemini, fault, reason):
    gemini.fault("answer", fault)
    assert failure(chat, adapter).reason == reason


# --- What goes wrong before and in the middle ----------------------------------------------------


@pytest.mark.parametrize(
    ("what", "details", "reason"),
    [
        ("status", {"status": 503}, Reason.PROVIDER_ERROR),
        ("status", {"status": 429, "retry_after": 7}, Reason.RATE_LIMITED),
        ("drop", {}, Reason.PROVIDER_ERROR),
        ("garbage", {}, Reason.PROVIDER_ERROR),
        ("empty", {}, Reason.PROVIDER_ERROR),
    ],
)
def test_a_stream_that_does_not_begin_fails_with_its_reason(adapter, gemini, what, details, reason):
    gemini.fault("stream", what, **details)
    failed = failure(chat, adapter)
    assert (failed.reason, failed.retryable) == (reason, True)
    assert failed.retry_after == details.get("retry_after")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("error", "went wrong on the way"),
        ("garbage", "could not be read"),
        ("drop", "connection to the provider failed"),
        ("end", "stopped before its end"),
    ],
)
def test_a_stream_that_breaks_in_the_middle_gives_what_came_and_then_fails(adapter, gemini, what, words):
    gemini.fault("pieces", what)

    async def collect(stream, parts):
        async for part in stream:
            parts.append(part)

    for stream in (adapter.stream_chat(CHAT, HELLO), adapter.stream_speech(VOICE, SpeechRequest(TEXT))):
        parts = []
        with pytest.raises(ProviderError, match=words) as failed:
            asyncio.run(collect(stream, parts))
        assert parts
        assert (failed.value.reason, failed.value.retryable) == (Reason.PROVIDER_ERROR, True)


def test_an_answer_that_cannot_be_read_is_quoted_nowhere(adapter, gemini, caplog):
    caplog.set_level(logging.DEBUG)
    gemini.fault("pieces", "garbage")
    failed = failure(chat, adapter)
    told = "".join(traceback.format_exception(failed)) + caplog.text
    assert '"candidates"' not in told
    assert "Hello?" not in told
    assert API_KEY not in told


def test_a_wrong_key_is_said_to_be_wrong(gemini):
    adapter = GeminiAdapter(ProviderConfig("gemini", "gemini", gemini.base_url, "not the key"))
    assert failure(chat, adapter).reason == Reason.INVALID_CREDENTIALS
    adapter.close()


# --- Streaming for true --------------------------------------------------------------------------


def test_a_part_is_given_when_it_came_and_closing_hangs_up(adapter, gemini):
    gemini.fault("pieces", "hang")

    async def first_and_close():
        async with aclosing(adapter.stream_chat(CHAT, HELLO)) as stream:
            return await anext(stream)

    assert asyncio.run(first_and_close()).text
    wait_for(lambda: gemini.state()["streams"].get("abandoned") == 1)


def test_a_caller_that_is_cancelled_while_it_waits_hangs_up(adapter, gemini):
    gemini.fault("pieces", "hang")

    async def cancelled():
        task = asyncio.create_task(listed(adapter.stream_speech(VOICE, SpeechRequest(TEXT))))
        await async_wait_for(lambda: gemini.state()["streams"])
        await asyncio.sleep(0.1)  # it waits for the second half
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    wait_for(lambda: gemini.state()["streams"].get("abandoned") == 1)


def test_streams_in_several_threads_and_loops_do_not_mix(adapter, gemini):
    texts = ["One.", "Two and a half.", "Three, four and five."]
    spoken = {}

    def in_a_loop_of_its_own(text):
        parts = all_of(adapter.stream_speech(VOICE, SpeechRequest(text)))
        spoken[text] = b"".join(part.audio for part in parts)

    threads = [threading.Thread(target=in_a_loop_of_its_own, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spoken == {text: speech_of(text) for text in texts}
    assert gemini.state()["streams"] == {"begun": 3, "ended": 3}


def test_models_are_listed_by_their_own_names(adapter, gemini):
    assert set(asyncio.run(adapter.list_models())) >= {"gemini-3.8-flash", "gemini-3.8-flash-tts"}


# --- WAV files, cut anywhere ---------------------------------------------------------------------


def heard(*parts):
    reader = SpeechReader()
    return b"".join(reader.feed(piece(part)) for part in parts), reader.sample_rate


def piece(data):
    blob = {"mimeType": "audio/wav", "data": base64.b64encode(data).decode()}
    return {"candidates": [{"content": {"parts": [{"inlineData": blob}]}}]}


PCM = speech_of("Hi.")


@pytest.mark.parametrize("at", [4, 11, 12, 20, 30, 43, 44, 45, 1000])
def test_a_wav_file_is_read_wherever_it_is_cut(at):
    whole = wav_file(PCM, 22_050)
    assert heard(whole[:at], whole[at:]) == (PCM, 22_050)


def test_a_wav_file_in_each_piece_is_one_stream_of_sound():
    assert heard(wav_file(PCM, 8000), wav_file(PCM, 8000)) == (PCM + PCM, 8000)


def test_what_stands_around_the_sound_of_a_wav_file_is_left_out():
    whole = wav_file(PCM, 8000)
    note = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"  # of odd length, padded
    assert heard(whole[:36] + note + whole[36:] + note) == (PCM, 8000)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_file_that_does_not_know_its_length_is_read_to_the_end(size):
    whole = wav_file(PCM, 8000)
    assert heard(whole[:40] + size.to_bytes(4, "little") + PCM) == (PCM, 8000)


def test_sound_of_another_form_is_refused():
    stereo = bytearray(wav_file(PCM, 8000))
    stereo[22] = 2
    for bad in (bytes(stereo), b"RIFF" + bytes(100_000)):
        with pytest.raises(ValueError, match=r"PCM|WAV"):
            heard(bad)
    with pytest.raises(ValueError, match="rate changes"):
        heard(wav_file(PCM, 8000), wav_file(PCM, 16_000))
