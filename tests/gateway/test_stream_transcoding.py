"""Speech in one encoding, made into another while it comes."""

import asyncio
import io
from contextlib import aclosing

import av
import numpy as np
import pytest

from gateway.audio.encoders import SAMPLE_RATE
from gateway.audio.transcode import in_encoding
from providers.adapters.base import ProviderError, SpeechPart
from tests.audio import encode, make_wav, silence_in_flac, tone

ENCODINGS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]
SECONDS = 2.0


def spoken(encoding, rate=24000, seconds=SECONDS):
    """A tone of 440 Hz."""
    if encoding == "pcm":
        return tone(seconds, rate, 440).tobytes()
    if encoding == "wav":
        return make_wav(seconds, rate)
    return encode(encoding, seconds, rate=48000 if encoding == "opus" else rate)


async def parts_of(audio, encoding, rate=24000, size=1001):
    for start in range(0, len(audio), size):
        yield SpeechPart(audio[start : start + size], encoding, rate)


def transcoded(audio, source, target, **cut):
    async def collect():
        return [piece async for piece in in_encoding(parts_of(audio, source, **cut), target)]

    return asyncio.run(collect())


def heard(audio, encoding):
    """rate, samples (mono, -1..1) as a player hears them"""
    if encoding == "pcm":
        return SAMPLE_RATE, np.frombuffer(audio, "<i2") / 32768
    with av.open(io.BytesIO(audio)) as file:
        resampler = av.AudioResampler("flt", "mono", file.streams.audio[0].rate)
        frames = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
        return frames[0].sample_rate, np.concatenate([frame.to_ndarray()[0] for frame in frames])


def pitch(rate, samples):
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("target", ENCODINGS)
@pytest.mark.parametrize("source", ENCODINGS)
def test_speech_in_any_encoding_is_heard_whole_in_every_other(source, target):
    audio = b"".join(transcoded(spoken(source), source, target))
    rate, samples = heard(audio, target)
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.16)
    assert pitch(rate, samples) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("source", ["pcm", "wav"])
def test_pcm_is_always_of_24_kilohertz(source, rate):
    audio = b"".join(transcoded(spoken(source, rate), source, "pcm", rate=rate))
    assert len(audio) / 2 / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.01)
    assert pitch(SAMPLE_RATE, np.frombuffer(audio, "<i2")) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_speech_that_is_in_the_asked_encoding_is_not_touched(encoding):
    audio = spoken(encoding)
    pieces = transcoded(audio, encoding, encoding, size=777)
    assert pieces == [audio[start : start + 777] for start in range(0, len(audio), 777)]


@pytest.mark.parametrize("source", ["mp3", "opus", "aac", "wav", "pcm"])
def test_streams_may_be_cut_at_every_byte(source):
    audio = spoken(source, seconds=0.3)
    assert b"".join(transcoded(audio, source, "pcm", size=1)) == b"".join(transcoded(audio, source, "pcm", size=10**6))


@pytest.mark.parametrize("target", ENCODINGS)
def test_the_first_sound_leaves_long_before_the_last_comes(target):
    taken = 0

    async def first_piece():
        nonlocal taken

        async def counted():
            nonlocal taken
            async for part in parts_of(spoken("pcm", 22050), "pcm", 22050, size=882):  # 20 ms
                taken += 1
                yield part

        async with aclosing(in_encoding(counted(), target)) as pieces:
            piece = await anext(pieces)
            if target in ("wav", "flac", "opus"):  # a header comes first
                return piece + await anext(pieces)
            return piece

    assert asyncio.run(first_piece())
    assert taken <= 8, f"{taken * 20} ms of sound went in before any came out"


def test_no_more_is_asked_of_the_provider_than_was_taken():
    taken = 0

    async def run():
        nonlocal taken

        async def counted():
            nonlocal taken
            async for part in parts_of(spoken("pcm"), "pcm", size=4800):
                taken += 1
                yield part

        async with aclosing(in_encoding(counted(), "wav")) as pieces:
            await anext(pieces)
            await asyncio.sleep(0.05)

    asyncio.run(run())
    assert taken == 1


def test_a_whole_file_in_one_part_still_comes_out_in_pieces():
    assert len(transcoded(spoken("wav"), "wav", "mp3", size=10**9)) > 5


def test_a_note_behind_the_sound_of_a_wav_is_not_heard():
    audio = spoken("wav") + b"LIST" + (4000).to_bytes(4, "little") + b"\x7f" * 4000
    assert b"".join(transcoded(audio, "wav", "pcm")) == b"".join(transcoded(spoken("wav"), "wav", "pcm"))


@pytest.mark.parametrize("source", ["mp3", "opus", "aac", "flac", "wav"])
@pytest.mark.parametrize("audio", [b"", b"<html>502 Bad Gateway</html>" * 100], ids=["nothing", "a page"])
def test_bytes_that_are_no_audio_fail_by_name(source, audio):
    if not audio and source == "wav":
        audio = b"RIFF"
    with pytest.raises(ProviderError, match="audio could not be decoded"):
        transcoded(audio or b"\x00", source, "pcm")


def test_a_wav_that_ends_before_its_time_fails():
    with pytest.raises(ProviderError, match="audio could not be decoded"):
        transcoded(spoken("wav")[:-5000], "wav", "mp3")


def test_a_few_bytes_of_a_provider_are_not_decoded_for_hours():
    audio = silence_in_flac(1800, rate=48000)
    assert len(audio) < 500_000
    with pytest.raises(ProviderError, match="could not be decoded"):
        transcoded(audio, "flac", "pcm")


def test_a_minute_of_silence_is_heard():
    audio = silence_in_flac(60, rate=48000)
    assert len(b"".join(transcoded(audio, "flac", "pcm"))) == pytest.approx(60 * SAMPLE_RATE * 2, rel=0.01)
