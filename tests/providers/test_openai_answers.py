"""Speech and chat by OpenAI's protocol."""

import io
import wave

import av
import pytest

from providers.adapters.base import ModelConfig, ProviderError
from providers.reasons import Reason
from tests.providers.openai_calls import chat_parts, official, speak, speak_parts

EVENTS = ModelConfig("gpt-4o-mini-tts", {"stream_format": "sse", "voice": "coral"})


def seconds(wav):
    with wave.open(io.BytesIO(wav)) as reader:
        return reader.getnframes() / reader.getframerate()


def test_a_text_is_spoken_as_a_whole_wav_file(openai):
    openai.settings(seconds_a_character=0.1)
    speech = speak(openai, "Good morning.", voice="nova", speed=2.0, instructions="Cheerfully.")
    assert seconds(speech.audio) == pytest.approx(0.65)
    assert speech.sample_rate == 24_000
    assert openai.calls[-1].fields == {
        "model": "tts-1",
        "input": "Good morning.",
        "voice": "nova",
        "response_format": "wav",
        "speed": 2.0,
        "instructions": "Cheerfully.",
    }


@pytest.mark.parametrize("endless", [True, False])
def test_the_files_header_tells_its_length_whatever_the_provider_wrote(openai, endless):
    openai.settings(endless_wav=endless, seconds_a_character=0.1)
    audio = speak(openai, "0123456789").audio
    assert seconds(audio) == pytest.approx(1.0)
    assert int.from_bytes(audio[4:8], "little") == len(audio) - 8


def test_bare_samples_become_a_wav_file(openai):
    openai.settings(seconds_a_character=0.1, speech_rate=22_050)
    model = ModelConfig("piper", {"speech_formats": ["pcm"], "sample_rate": 22_050, "voice": "amy"})
    speech = speak(openai, "0123456789", model)
    assert (seconds(speech.audio), speech.sample_rate) == (pytest.approx(1.0), 22_050)
    assert (openai.calls[-1].fields["response_format"], openai.calls[-1].fields["voice"]) == ("pcm", "amy")


@pytest.mark.parametrize("encoding", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
def test_speech_streams_in_the_encoding_that_is_wished_for(openai, encoding):
    parts = speak_parts(openai, encoding=encoding)
    assert len(parts) > 1
    assert {(part.encoding, part.sample_rate) for part in parts} == {(encoding, 24_000)}
    audio = b"".join(part.audio for part in parts)
    if encoding != "pcm":
        with av.open(io.BytesIO(audio)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) > 0


def test_a_model_that_lacks_the_encoding_answers_in_its_own(openai):
    parts = speak_parts(openai, model=ModelConfig("tts", {"speech_formats": ["mp3"]}), encoding="opus")
    assert {part.encoding for part in parts} == {"mp3"}


def test_the_rate_of_a_wav_stream_is_the_one_in_its_header(openai):
    openai.settings(speech_rate=16_000)
    assert {part.sample_rate for part in speak_parts(openai, encoding="wav")} == {16_000}


def test_speech_in_events_counts_its_tokens(openai):
    *parts, last = speak_parts(openai, "Good morning.", EVENTS, encoding="pcm")
    assert sum(len(part.audio) for part in parts) > 0
    assert (last.input_tokens, last.output_tokens) == (2, 50)
    assert openai.calls[-1].fields["stream_format"] == "sse"
    assert speak(openai, "Good morning.", EVENTS).output_tokens == 50


def test_an_answer_without_sound_is_an_error(openai):
    openai.fault("speech", "empty")
    with pytest.raises(ProviderError, match="no sound") as caught:
        speak(openai)
    assert (caught.value.reason, caught.value.retryable) == (Reason.PROVIDER_ERROR, True)


def test_a_chat_is_answered_word_by_word_with_its_tokens_at_the_end(openai):
    *parts, last = chat_parts(openai, "one two three", temperature=0.5)
    assert [part.text for part in parts] == ["one", " two", " three"]
    assert (last.text, last.input_tokens, last.output_tokens, last.truncated) == ("", 3, 3, False)
    asked = openai.calls[-1].fields
    assert (asked["messages"], asked["temperature"]) == ([{"role": "user", "content": "one two three"}], 0.5)


def test_an_answer_that_was_cut_off_says_so(openai):
    parts = chat_parts(openai, "one two three", max_output_tokens=2)
    assert "".join(part.text for part in parts) == "one two"
    assert parts[-1].truncated


def test_the_limit_of_an_answer_has_the_name_that_the_provider_knows(openai):
    chat_parts(openai, max_output_tokens=9)
    assert openai.calls[-1].fields["max_tokens"] == 9
    chat_parts(openai, adapter=official(openai), max_output_tokens=9)
    assert openai.calls[-1].fields["max_completion_tokens"] == 9


def test_a_filtered_answer_is_blocked(openai):
    openai.fault("chat", "content_filter")
    with pytest.raises(ProviderError) as caught:
        chat_parts(openai)
    assert (caught.value.reason, caught.value.retryable) == (Reason.BLOCKED, False)
