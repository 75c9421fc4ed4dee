"""The embedded engines for real: eSpeak NG speaks, PocketSphinx hears."""

import asyncio
import csv
import io
import re
import time
import wave
from contextlib import nullcontext

import jiwer
import numpy as np
import pytest

from providers.adapters.base import CapabilityNotSupported, ModelConfig, ProviderError
from providers.engines.pool import shared_pool
from providers.engines.process import EngineSpec
from providers.reasons import Reason
from tests.providers.conftest import ESPEAK, FAST, POCKETSPHINX, write_wav
from tests.waiting import wait_for

SENTENCE = "He bought three books and a small lamp at the market."


def words(text):
    return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " "))


def reason(call, *args, **settings):
    with pytest.raises(ProviderError) as failure:
        call(*args, **settings)
    return failure.value.reason


# --- Text to speech -----------------------------------------------------------------------------


def test_speech_is_a_wav_file_at_22050_hz(engines):
    speech = engines.speak(SENTENCE)
    with wave.open(io.BytesIO(speech.audio)) as reader:
        assert reader.getframerate() == speech.sample_rate == 22050
        assert 2 < reader.getnframes() / reader.getframerate() < 5


@pytest.mark.parametrize("voice", ["en-us", "en-us+f5"])  # the second one breathes
def test_the_same_request_gives_the_same_speech(engines, voice):
    before, second = engines.speak(SENTENCE, voice=voice), int(time.time())
    wait_for(lambda: int(time.time()) > second)  # by the clock's second, the library would breathe differently
    assert engines.speak(SENTENCE, voice=voice) == before


def test_twice_the_speed_is_about_half_as_long(engines):
    normal, fast = engines.speak(SENTENCE), engines.speak(SENTENCE, speed=2)
    assert 0.4 < len(fast.audio) / len(normal.audio) < 0.6


def test_a_voice_by_name_is_another_voice(engines):
    assert engines.speak(SENTENCE).audio != engines.speak(SENTENCE, voice="en-us+f5").audio


@pytest.mark.parametrize("voice", ["klingonese", "../../etc/passwd", "/etc/passwd", "en us"])
def test_a_voice_that_does_not_exist_is_refused(engines, voice):
    assert reason(engines.speak, SENTENCE, voice=voice) == Reason.CAPABILITY_NOT_SUPPORTED


@pytest.mark.parametrize("speed", [0.1, 5.0])
def test_a_speed_that_the_engine_cannot_do_is_refused_with_its_range(engines, speed):
    with pytest.raises(ProviderError, match=r"from 0\.46 to 2\.57"):
        engines.speak(SENTENCE, speed=speed)


def test_a_text_of_a_million_characters_is_refused(engines):
    assert reason(engines.speak, "a" * 1_000_000) == Reason.CAPABILITY_NOT_SUPPORTED


# --- Speech to text -----------------------------------------------------------------------------


@pytest.mark.parametrize("model", [POCKETSPHINX, FAST], ids=["default", "fast"])
def test_what_is_spoken_is_heard(engines, model):
    heard = engines.hear(engines.spoken_file(SENTENCE, voice="en-us+Reed", speed=0.9), model)
    assert jiwer.wer(words(SENTENCE), heard.text) < 0.7
    assert heard.processing_seconds > 0


def test_human_speech_is_heard_with_few_errors(engines, human_speech):
    with (human_speech / "manifest.csv").open() as manifest:
        clips = [row for row in csv.DictReader(manifest) if row["language"] == "en" and float(row["duration_s"]) < 4]
    heard = engines.hear_all([human_speech / clip["file"] for clip in clips])
    assert jiwer.wer([words(clip["reference"]) for clip in clips], [answer.text for answer in heard]) < 0.4


def test_the_same_audio_gives_the_same_text_whatever_was_heard_before(engines, human_speech):
    first, second = human_speech / "en_harvard_spk2_4.wav", human_speech / "en_LJ001-0008.mp3"
    alone = [engines.hear(path, FAST).text for path in (first, second)]
    again = [engines.hear(path, FAST).text for path in (second, second, first)]
    assert again == [alone[1], alone[1], alone[0]]


def test_synthetic_speech_gives_the_same_text_each_time(engines):
    path = engines.spoken_file(SENTENCE)
    assert engines.hear(path, FAST).text == engines.hear(path, FAST).text


def test_text_is_words_only(engines, human_speech):
    text = engines.hear(human_speech / "en_LJ001-0008.mp3", FAST).text
    assert re.fullmatch(r"[a-z']+( [a-z']+)*", text)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(48000), np.random.default_rng(1).normal(0, 20, 48000), np.random.default_rng(1).normal(0, 1000, 48000)],
    ids=["digital silence", "a quiet room", "white noise"],
)
def test_silence_gives_empty_text(engines, tmp_path, samples):
    assert engines.hear(write_wav(tmp_path / "silence.wav", samples)).text == ""


def test_audio_beyond_the_models_limit_is_refused_before_anything_runs(engines, tmp_path):
    path = write_wav(tmp_path / "long.wav", np.zeros(16000))
    assert reason(engines.hear, path, seconds=601) == Reason.AUDIO_TOO_LONG


def test_audio_that_is_longer_than_it_says_is_refused(engines, tmp_path):
    path = write_wav(tmp_path / "long.wav", np.zeros(16000 * 20))
    short = ModelConfig("pocketsphinx", max_audio_seconds=10)
    assert reason(engines.hear, path, short) == Reason.AUDIO_TOO_LONG


@pytest.mark.parametrize("content", [b"", b"no audio at all" * 100, b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_what_cannot_be_decoded_is_unreadable(engines, tmp_path, content):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    assert reason(engines.hear, path) == Reason.AUDIO_UNREADABLE


def test_a_playlist_does_not_make_the_engine_read_another_file(engines, tmp_path):
    secret = write_wav(tmp_path / "secret.wav", np.random.default_rng(1).normal(0, 3000, 48000))
    playlist = tmp_path / "playlist.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    assert reason(engines.hear, playlist) == Reason.AUDIO_UNREADABLE


@pytest.mark.parametrize(
    ("model", "words_of_it"),
    [
        (ModelConfig("whisper"), "no embedded engine 'whisper'"),
        (ModelConfig("pocketsphinx", {"logfn": "/tmp/log"}), "Unknown options: logfn"),
        (ModelConfig("pocketsphinx", {"ds": "two"}), "Not a number: ds"),
        (ESPEAK, "espeak-ng cannot do this task"),
    ],
)
def test_a_model_that_cannot_work_says_why(engines, tmp_path, model, words_of_it):
    path = write_wav(tmp_path / "tone.wav", np.zeros(16000))
    with pytest.raises(CapabilityNotSupported, match=words_of_it):
        engines.hear(path, model)


def test_each_word_of_the_text_comes_with_its_time(engines, human_speech):
    heard = engines.hear(human_speech / "en_cards_005.wav", seconds=3.5)
    assert " ".join(word.text for word in heard.words) == heard.text
    assert all(0 <= word.start < word.end <= 3.51 for word in heard.words)
    assert [word.start for word in heard.words] == sorted(word.start for word in heard.words)


def test_silence_before_the_words_is_in_their_times(engines, tmp_path):
    """In speech that gets a noise floor and padding, too."""
    speech = engines.speak(SENTENCE)
    with wave.open(io.BytesIO(speech.audio)) as reader:
        samples = np.frombuffer(reader.readframes(10**7), np.int16)
    late = write_wav(tmp_path / "late.wav", np.concatenate([np.zeros(2 * 22050), samples]), rate=22050)
    heard, later = engines.hear(write_wav(tmp_path / "now.wav", samples, rate=22050)), engines.hear(late)
    assert later.words[0].start - heard.words[0].start == pytest.approx(2, abs=0.3)
    assert later.words[-1].end <= len(samples) / 22050 + 2


def test_silence_has_no_words(engines, tmp_path):
    assert engines.hear(write_wav(tmp_path / "silence.wav", np.zeros(16000))).words == ()


# --- Without the engines ------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["tests.servers.bare_sphinx", "tests.servers.bare_espeak"])
def test_a_missing_engine_says_what_to_install(own_pool, engine):
    call = shared_pool().ask(EngineSpec.of(engine, {}), nullcontext({}), time_limit=10)
    with pytest.raises(ProviderError, match=r"pip install -r requirements-local\.lock") as failure:
        asyncio.run(call)
    assert failure.value.reason == Reason.ENGINE_MISSING
