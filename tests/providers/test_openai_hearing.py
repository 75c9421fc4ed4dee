"""Transcription and translation by OpenAI's protocol."""

import asyncio
import io

import pytest

from providers.adapters.base import ModelConfig, ProviderError, TimedText
from providers.connection_test import WavAudio
from tests.providers.openai_calls import GPT, WAV, WHISPER, compatible, hear, hear_parts, hearing, translate
from tests.servers.openai import words_for


def fields(openai):
    return openai.calls[-1].fields


def test_audio_is_heard(openai):
    heard = hear(openai)
    assert heard.text == words_for(WavAudio(WAV).sha256)
    assert heard.processing_seconds > 0
    assert (heard.words, heard.segments, heard.truncated) == ((), (), False)
    assert fields(openai) == {"model": ["whisper-1"], "response_format": ["json"]}


def test_language_prompt_and_temperature_are_told(openai):
    hear(openai, language="de-CH", prompt="Names: Zoë.", temperature=0.2)
    told = {name: values[0] for name, values in fields(openai).items()}
    assert (told["language"], told["prompt"], told["temperature"]) == ("de", "Names: Zoë.", "0.2")


@pytest.mark.parametrize(
    ("tag", "told"),
    [("en", "en"), ("zh-Hant-TW", "zh"), ("cmn", "zh"), ("nb-NO", "no"), ("fil", "tl"), ("gsw", None), ("und", None)],
)
def test_languages_are_told_by_their_code_of_two_letters_or_not_at_all(openai, tag, told):
    hear(openai, language=tag)
    assert fields(openai).get("language") == ([told] if told else None)


def test_times_of_words_and_segments_are_asked_for_and_read(openai):
    openai.settings(text="good morning everyone", seconds=3.0)
    heard = hear(openai, timestamp_granularities=frozenset({"word", "segment"}))
    assert heard.words == (
        TimedText("good", 0.0, 1.0),
        TimedText("morning", 1.0, 2.0),
        TimedText("everyone", 2.0, 3.0),
    )
    assert heard.segments == (TimedText("good morning everyone", 0.0, 3.0),)
    assert heard.language == "english"


def test_only_the_times_that_were_asked_for_are_asked_for(openai):
    heard = hear(openai, timestamp_granularities=frozenset({"word"}))
    assert fields(openai)["timestamp_granularities[]"] == ["word"]
    assert (len(heard.words), heard.segments) == (10, ())


def test_a_model_without_times_answers_without_them(openai):
    heard = hear(openai, GPT, timestamp_granularities=frozenset({"word", "segment"}))
    assert (heard.text != "", heard.words, heard.segments) == (True, (), ())
    assert fields(openai) == {"model": ["gpt-transcribe"], "response_format": ["json"]}


@pytest.mark.parametrize("form", ["json", "text", "verbose_json"])
def test_the_format_to_answer_in_is_the_models_own_if_it_has_one(openai, form):
    openai.settings(text="good morning")
    assert hear(openai, ModelConfig("whisper", {"response_format": form})).text == "good morning"
    assert fields(openai)["response_format"] == [form]


def test_tokens_are_counted_where_the_provider_counts_them(openai):
    openai.settings(usage="tokens", text="good morning")
    heard = hear(openai)
    assert (heard.input_tokens, heard.output_tokens) == (20, 2)


def test_speech_is_translated_into_english(openai):
    openai.settings(translation="good morning")
    assert translate(openai, language="de", prompt="Polite.", temperature=0.0).text == "good morning"
    assert openai.calls[-1].path == "/v1/audio/translations"
    assert fields(openai) == {
        "model": ["whisper-1"],
        "response_format": ["json"],
        "prompt": ["Polite."],
        "temperature": ["0.0"],
    }


def test_a_translation_has_times_of_segments(openai):
    openai.settings(translation="good morning", seconds=2.0)
    assert translate(openai, timestamp_granularities=frozenset({"segment"})).segments == (
        TimedText("good morning", 0.0, 2.0),
    )


def test_silence_is_heard_as_an_empty_text(openai):
    openai.settings(text=" ")
    assert hear(openai).text == ""


def test_the_file_has_a_name_and_a_type_that_tell_its_format(openai):
    hear(openai)
    file = openai.calls[-1].file
    assert (file.name, file.mime_type, file.size) == ("audio.wav", "audio/wav", len(WAV))


class WatchedAudio(WavAudio):
    """Remembers how it was read."""

    largest_read = 0
    stream = None

    def open(self):
        self.stream = WatchedStream(self)
        return self.stream


class WatchedStream(io.BytesIO):
    def __init__(self, audio):
        super().__init__(audio._content)
        self.audio = audio

    def read(self, size=-1):
        content = super().read(size)
        self.audio.largest_read = max(self.audio.largest_read, len(content))
        return content


def test_audio_is_read_in_pieces_and_closed(openai):
    audio = WatchedAudio(WAV * 50)
    openai.settings(seconds=2.0)
    hear(openai, audio=audio)
    assert openai.calls[-1].file.size == len(WAV) * 50
    assert 0 < audio.largest_read <= 1 << 20
    assert audio.stream.closed


def test_audio_is_closed_where_the_provider_refuses_it(openai):
    audio = WatchedAudio(WAV)
    openai.fault("transcriptions", "status", status=400)
    with pytest.raises(ProviderError):
        hear(openai, audio=audio)
    assert audio.stream.closed


def test_audio_that_cannot_be_read_is_no_fault_of_the_provider(openai):
    class Gone(WavAudio):
        def open(self):
            raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        hear(openai, audio=Gone(WAV))
    assert openai.calls == []


def test_many_are_heard_at_once_by_one_client(openai):
    openai.settings(latency=0.05)

    async def all_at_once():
        adapter = compatible(openai)
        return await asyncio.gather(*(adapter.transcribe(WHISPER, hearing()) for _ in range(20)))

    assert len(asyncio.run(all_at_once())) == 20
    assert openai.most_at_once > 10


def test_a_transcript_comes_word_by_word_and_whole_at_the_end(openai):
    openai.settings(text="good morning everyone", usage="tokens")
    *parts, last = hear_parts(openai, language="en")
    assert [part.delta for part in parts] == ["good", " morning", " everyone"]
    assert (last.final.text, last.final.output_tokens) == ("good morning everyone", 3)
    assert (fields(openai)["stream"], fields(openai)["language"]) == (["true"], ["en"])


def test_a_model_that_does_not_stream_answers_in_one_part(openai):
    openai.settings(text="good morning")
    assert [part.final.text for part in hear_parts(openai, WHISPER)] == ["good morning"]
