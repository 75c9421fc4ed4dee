"""Formats of audio on the wire: G.711 as the standard has it, rates without clicks."""

import io
import wave

import av
import numpy as np
import pytest

from voice.audio import pcm
from voice.protocol.config import AudioFormat
from voice.transcribe import TurnAudio

PCM16, ULAW, ALAW = AudioFormat.PCM16, AudioFormat.ULAW, AudioFormat.ALAW
EVERY_SAMPLE = np.arange(-32_768, 32_768).astype(np.int16)
EVERY_CODE = bytes(range(256))
# Of ITU-T G.711: code -> value on the 16-bit scale.
ULAW_VALUES = {
    0x00: -32124,
    0x0F: -16764,
    0x10: -15996,
    0x7F: 0,
    0x80: 32124,
    0x8F: 16764,
    0xEF: 132,
    0xF0: 120,
    0xFF: 0,
}
ALAW_VALUES = {0x2A: -32256, 0xAA: 32256, 0x55: -8, 0xD5: 8, 0x54: -24, 0xD4: 24, 0x80: 5504, 0x25: -16896, 0xA5: 16896}


def ffmpeg_levels(codec):
    """The sample of each code, as FFmpeg decodes it."""
    context = av.CodecContext.create(codec, "r")
    context.layout, context.sample_rate = "mono", 8000
    return context.decode(av.Packet(EVERY_CODE))[0].to_ndarray()[0]


@pytest.mark.parametrize(("encoding", "values"), [(ULAW, ULAW_VALUES), (ALAW, ALAW_VALUES)])
def test_codes_stand_for_the_values_of_the_standard(encoding, values):
    assert {code: int(pcm.decode(bytes([code]), encoding)[0]) for code in values} == values


@pytest.mark.parametrize(("encoding", "codec"), [(ULAW, "pcm_mulaw"), (ALAW, "pcm_alaw")])
def test_every_code_stands_for_what_ffmpeg_hears_in_it(encoding, codec):
    assert pcm.decode(EVERY_CODE, encoding).tolist() == ffmpeg_levels(codec).tolist()


@pytest.mark.parametrize("encoding", [ULAW, ALAW])
def test_every_code_survives_being_decoded_and_encoded_again(encoding):
    again = pcm.encode(pcm.decode(EVERY_CODE, encoding), encoding)
    different = [code for code in range(256) if again[code] != code]
    assert different == ([0x7F] if encoding == ULAW else [])  # u-law has a zero with a minus


@pytest.mark.parametrize(("encoding", "loudest"), [(ULAW, 32_636), (ALAW, 32_768)])
def test_no_sample_is_further_than_half_a_step_from_its_code(encoding, loudest):
    levels = np.unique(pcm.decode(EVERY_CODE, encoding)).astype(int)
    steps = np.diff(levels, append=loudest, prepend=-loudest)
    coded = pcm.decode(pcm.encode(EVERY_SAMPLE, encoding), encoding).astype(int)
    at = np.searchsorted(levels, coded)
    error = np.abs(coded - np.clip(EVERY_SAMPLE.astype(int), -loudest, loudest))
    assert (error <= np.maximum(steps[at], steps[at + 1]) / 2 + 1).all()


@pytest.mark.parametrize(
    ("encoding", "codes"),
    [
        (ULAW, {123: 0xF0, 124: 0xEF, 379: 0xE0, 380: 0xDF, 16_251: 0x90, 16_252: 0x8F, 32_767: 0x80}),
        (ALAW, {0: 0xD5, 511: 0xCA, 512: 0xF5, 16_383: 0xBA, 16_384: 0xA5, 32_767: 0xAA, -32_768: 0x2A}),
    ],
)
def test_codes_change_at_the_decision_values_of_the_standard(encoding, codes):
    assert {sample: pcm.encode(np.array([sample], np.int16), encoding)[0] for sample in codes} == codes


def test_pcm_is_little_endian_and_loses_half_a_sample_at_its_end():
    assert pcm.decode(b"\x01\x00\xff\xff\x05", PCM16).tolist() == [1, -1]
    assert pcm.encode(np.array([1, -1], np.int16), PCM16) == b"\x01\x00\xff\xff"


@pytest.mark.parametrize(("rate", "to_rate"), [(24_000, 16_000), (22_050, 24_000), (24_000, 8_000), (8_000, 16_000)])
def test_a_tone_resampled_in_odd_pieces_stays_that_tone(rate, to_rate):
    resampler = pcm.Resampler(rate, to_rate)
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    pieces = np.split(tone, [1, 7, 1000, 1003, 5000, 17_000])
    heard = np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.flush()])
    assert abs(len(heard) - to_rate) <= 2
    wanted = 8000 * np.sin(2 * np.pi * 440 * np.arange(len(heard)) / to_rate)
    middle = slice(100, len(heard) - 100)
    assert np.abs(heard[middle] - wanted[middle]).max() < 60  # 0.2 % of full scale


def test_the_same_rate_is_passed_on_as_it_is():
    resampler = pcm.Resampler(24_000, 24_000)
    samples = np.arange(100, dtype=np.int16)
    assert resampler.push(samples).tolist() == samples.tolist()
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize(("encoding", "rate"), [(PCM16, 24_000), (ULAW, 8_000)])
def test_what_a_client_said_reaches_models_as_a_wav_file(encoding, rate):
    samples = np.linspace(-30_000, 30_000, rate // 2).astype(np.int16)
    audio = TurnAudio(pcm.encode(samples, encoding), encoding)
    with audio.open() as stream, wave.open(io.BytesIO(stream.read())) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate)
        assert file.getnframes() == rate // 2
    assert audio.duration == 0.5
    with audio.local_path() as path:
        assert path.stat().st_size == audio.size
        assert path.suffix == ".wav"
    assert not path.exists()
