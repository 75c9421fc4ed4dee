"""Audio as the recogniser wants it: 16 kHz mono, whatever it was."""

import csv

import numpy as np
import pytest

from providers.engines import sound
from providers.engines.protocol import EngineError
from tests.audio import FORMATS, encode, make_wav


def frequency(samples):
    """Hz of the strongest tone."""
    return np.argmax(np.abs(np.fft.rfft(samples))) * sound.RATE / len(samples)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_in_full(tmp_path, name):
    path = tmp_path / "named.wrongly"
    path.write_bytes(encode(name, 2.0))
    samples = sound.decode(path, 10)
    assert len(samples) / sound.RATE == pytest.approx(2.0, abs=0.15)
    assert frequency(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_number_of_channels_becomes_16_khz_mono(tmp_path, rate, channels):
    path = tmp_path / "tone.wav"
    path.write_bytes(make_wav(1.0, rate=rate, channels=channels))
    samples = sound.decode(path, 10)
    assert len(samples) / sound.RATE == pytest.approx(1.0, abs=0.01)
    assert frequency(samples) == pytest.approx(440, abs=2)


def test_every_human_clip_is_decoded_in_full(human_speech):
    with (human_speech / "manifest.csv").open() as manifest:
        for clip in csv.DictReader(manifest):
            samples = sound.decode(human_speech / clip["file"], 60)
            assert len(samples) / sound.RATE == pytest.approx(float(clip["duration_s"]), abs=0.15), clip["file"]


def test_human_speech_is_left_as_it_is(human_speech):
    for path in human_speech.glob("*_*.*"):
        samples = sound.decode(path, 60)
        assert sound.with_noise_floor(samples) is samples, path.name


def test_digital_silence_gets_a_noise_floor_and_speech_a_level():
    speech = np.random.default_rng(1).normal(0, 500, 16000)
    samples = np.concatenate([np.zeros(16000), speech, np.zeros(16000)]).astype(np.int16)
    treated = sound.with_noise_floor(samples)
    assert len(treated) == len(samples) + 2 * sound.PADDING
    assert treated[:16000].std() == pytest.approx(2000 * 10 ** (-35 / 20), rel=0.05)
    assert treated[20000:34000].std() == pytest.approx(2000, rel=0.05)
    assert np.array_equal(treated, sound.with_noise_floor(samples))


def test_silence_alone_is_not_made_louder():
    silence = np.zeros(16000, np.int16)
    assert sound.with_noise_floor(silence) is silence


def test_decoding_stops_at_the_limit(tmp_path):
    path = tmp_path / "long.flac"
    path.write_bytes(encode("flac", 30.0))
    with pytest.raises(EngineError, match="longer than 10 s") as failure:
        sound.decode(path, 10)
    assert failure.value.code == "audio_too_long"


def test_audio_that_is_mostly_damaged_is_unreadable(tmp_path):
    content = bytearray(encode("m4a", 10.0))
    start, end = content.index(b"mdat") + 500, content.index(b"moov") - 4
    content[start:end] = np.random.default_rng(1).bytes(end - start)
    path = tmp_path / "damaged.m4a"
    path.write_bytes(content)
    with pytest.raises(EngineError) as failure:
        sound.decode(path, 60)
    assert failure.value.code == "audio_unreadable"
