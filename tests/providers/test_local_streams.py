"""The embedded engines as they make it: speech sentence by sentence, the echo word by word."""

import asyncio
import io
import wave
from contextlib import aclosing

import pytest

from providers.adapters.base import (
    CapabilityNotSupported,
    ChatMessage,
    ChatRequest,
    ModelConfig,
    ProviderError,
    SpeechRequest,
)
from providers.adapters.sentences import LONGEST, sentences
from tests.providers.conftest import ESPEAK

ECHO = ModelConfig("echo")
TEXT = "Good morning. How are you today? I am very well!"


async def listed(stream):
    async with aclosing(stream):
        return [part async for part in stream]


def spoken(engines, text, **wishes):
    return asyncio.run(listed(engines.adapter.stream_speech(ESPEAK, SpeechRequest(text, **wishes))))


def answer(engines, *turns, model=ECHO, **limits):
    request = ChatRequest(tuple(ChatMessage(*turn) for turn in turns), **limits)
    return asyncio.run(listed(engines.adapter.stream_chat(model, request)))


def pcm(speech):
    with wave.open(io.BytesIO(speech.audio)) as reader:
        return reader.readframes(10**7)


# --- Speech -------------------------------------------------------------------------------------


def test_each_sentence_is_a_part_of_its_own(engines):
    parts = spoken(engines, TEXT)
    assert [part.audio for part in parts] == [pcm(engines.speak(text)) for text in sentences(TEXT)]
    assert {(part.encoding, part.sample_rate) for part in parts} == {("pcm", 22050)}


def test_a_text_without_a_stop_is_one_part(engines):
    assert [part.audio for part in spoken(engines, "good morning")] == [pcm(engines.speak("good morning"))]


def test_closing_after_the_first_sentence_stops_the_next(engines):
    async def first_only():
        async with aclosing(engines.adapter.stream_speech(ESPEAK, SpeechRequest(TEXT))) as stream:
            return await anext(stream)

    assert asyncio.run(first_only()).audio == pcm(engines.speak("Good morning."))
    assert len(spoken(engines, TEXT)) == 3  # and the engines are as good as before


def test_a_voice_that_does_not_exist_is_refused_before_any_sound(engines):
    with pytest.raises(ProviderError, match="no voice 'klingonese'"):
        spoken(engines, TEXT, voice="klingonese")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("  ... \n -- ", []),
        ("One", ["One"]),
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.50 today. Yes.", ["It costs 3.50 today.", "Yes."]),
        ('He said "no." Then left.', ['He said "no.', "Then left."]),
        ("A title\n\nA text.", ["A title", "A text."]),
        ("你好。再见。", ["你好。", "再见。"]),
    ],
)
def test_a_text_is_cut_into_what_is_said(text, pieces):
    assert sentences(text) == pieces


def test_a_text_that_never_stops_is_cut_between_words():
    words = [f"word{number}" for number in range(200)]
    pieces = sentences(" ".join(words))
    assert " ".join(pieces).split() == words
    assert max(map(len, pieces)) <= LONGEST
    assert [len(piece) for piece in sentences("a" * 1000)] == [300, 300, 300, 100]


# --- Chat ---------------------------------------------------------------------------------------


def test_the_echo_says_what_the_user_said_last_word_by_word(engines):
    parts = answer(engines, ("system", "Be brief."), ("user", "Hi."), ("assistant", "Hi."), ("user", "How are  you?"))
    assert [part.text for part in parts] == ["How", " are", "  you?", ""]
    assert (parts[-1].input_tokens, parts[-1].output_tokens, parts[-1].truncated) == (7, 3, False)


def test_the_echo_stops_at_its_limit_and_says_so(engines):
    parts = answer(engines, ("user", "one two three"), max_output_tokens=2)
    assert "".join(part.text for part in parts) == "one two"
    assert parts[-1].truncated


def test_the_echo_of_nothing_is_empty(engines):
    assert [part.text for part in answer(engines, ("system", "Greet the caller."))] == [""]


def test_other_engines_do_not_chat(engines):
    with pytest.raises(CapabilityNotSupported, match="pocketsphinx cannot do this task; echo can"):
        answer(engines, ("user", "Hi."), model=ModelConfig("pocketsphinx"))
