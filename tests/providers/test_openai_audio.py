"""Audio that a model does not take as it is: too large, too long, or of another format."""

import asyncio
import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest

from providers.adapters.base import ModelConfig, ProviderError
from providers.connection_test import WavAudio
from providers.reasons import Reason
from tests.audio import encode, make_wav
from tests.providers.conftest import FileAudio
from tests.providers.openai_calls import compatible, hear, hearing

pytestmark = pytest.mark.usefixtures("own_pool")

MIME_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "caf": "audio/x-caf", "aac": "audio/aac", "webm": "audio/webm"}


class OneSecond(WavAudio):
    """Audio that is said to last a second."""

    duration = 1.0


class Encoded(OneSecond):
    """A tone in a format other than WAV."""

    def __init__(self, form):
        super().__init__(encode(form))
        self.mime_type = MIME_TYPES[form]


def noise(path, seconds, rate=16_000):
    """What no compression makes much smaller without loss."""
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        samples = np.random.default_rng(1).integers(-8000, 8000, seconds * rate)
        writer.writeframes(samples.astype(np.int16).tobytes())
    return FileAudio(path, float(seconds))


def sent(openai):
    return openai.calls[-1].file


def model(**limits):
    return ModelConfig("whisper-1", limits.pop("options", {}), **limits)


def test_audio_within_the_limits_is_sent_as_it_is(openai):
    audio = WavAudio(make_wav(2.0))
    hear(openai, model(max_audio_bytes=audio.size, options={"audio_formats": ["wav"]}), audio=audio)
    assert sent(openai).sha256 == audio.sha256


def test_a_file_that_is_too_large_is_made_smaller_without_loss(openai):
    audio = WavAudio(make_wav(10.0))
    hear(openai, model(max_audio_bytes=audio.size // 2), audio=audio)
    assert (sent(openai).name, sent(openai).mime_type, sent(openai).head) == ("audio.flac", "audio/flac", "fLaC")
    assert sent(openai).size <= audio.size // 2


def test_a_file_that_stays_too_large_without_loss_is_compressed_to_fit(openai, tmp_path):
    audio = noise(tmp_path / "noise.wav", 20)
    hear(openai, model(max_audio_bytes=60_000), audio=audio)
    assert (sent(openai).name, sent(openai).head) == ("audio.ogg", "OggS")
    assert 30_000 < sent(openai).size <= 60_000
    openai.settings(audio_formats=["mp3"])
    hear(openai, model(max_audio_bytes=100_000, options={"audio_formats": ["mp3"]}), audio=audio)
    assert sent(openai).size <= 100_000


def test_a_file_that_no_compression_makes_small_enough_is_said_to_be_too_long(openai, tmp_path):
    audio = noise(tmp_path / "noise.wav", 20)
    with pytest.raises(ProviderError) as caught:
        hear(openai, model(max_audio_bytes=10_000), audio=audio)
    assert (caught.value.reason, caught.value.retryable) == (Reason.AUDIO_TOO_LONG, False)
    assert "10000 bytes" in str(caught.value)
    assert openai.calls == []


def test_audio_that_lasts_too_long_is_refused_before_it_is_sent(openai):
    with pytest.raises(ProviderError, match="20 s long, and the model takes 10 s") as caught:
        hear(openai, model(max_audio_seconds=10), audio=WavAudio(make_wav(20.0)))
    assert caught.value.reason == Reason.AUDIO_TOO_LONG
    assert openai.calls == []


@pytest.mark.parametrize("form", ["mp3", "m4a", "caf", "aac", "webm"])
def test_a_format_that_the_model_does_not_take_is_converted(openai, form):
    hear(openai, model(options={"audio_formats": ["wav", "flac"]}), audio=Encoded(form))
    assert sent(openai).head == "fLaC"
    assert openai.calls[-1].fields["model"] == ["whisper-1"]


def test_a_model_that_takes_wav_alone_gets_wav(openai):
    hear(openai, model(options={"audio_formats": ["wav"]}), audio=Encoded("mp3"))
    assert (sent(openai).name, sent(openai).head) == ("audio.wav", "RIFF")


def test_a_format_that_cannot_be_written_is_a_reason(openai):
    with pytest.raises(ProviderError, match="takes amr") as caught:
        hear(openai, model(options={"audio_formats": ["amr"]}))
    assert caught.value.reason == Reason.UNSUPPORTED_FORMAT
    assert openai.calls == []


@pytest.mark.parametrize(
    "content",
    [b"#EXTM3U\n/etc/passwd\n", b"RIFF\x00\x00\x00\x00WAVEfmt ", b"\x00" * 5000, make_wav(1.0)[:60]],
)
def test_audio_that_cannot_be_decoded_is_a_reason(openai, content):
    with pytest.raises(ProviderError) as caught:
        hear(openai, model(options={"audio_formats": ["flac"]}), audio=OneSecond(content))
    assert caught.value.reason == Reason.AUDIO_UNREADABLE
    assert openai.calls == []


def test_audio_that_is_far_longer_than_it_should_be_is_not_decoded_to_its_end(openai):
    with pytest.raises(ProviderError, match="longer than the 1 s") as caught:
        hear(openai, model(options={"audio_formats": ["flac"]}), audio=OneSecond(make_wav(60.0)))
    assert caught.value.reason == Reason.AUDIO_UNREADABLE


def test_no_converted_file_is_left_behind(openai, tmp_path):
    before = set(tmp_path.rglob("*.wav"))
    hear(openai, model(options={"audio_formats": ["flac"]}))
    with pytest.raises(ProviderError):
        hear(openai, model(max_audio_bytes=10), audio=WavAudio(make_wav(5.0)))
    assert Path(tempfile.gettempdir()) == tmp_path
    assert set(tmp_path.rglob("tmp*")) - before == set()


def test_streams_take_converted_audio_too(openai):
    async def first_part():
        parts = compatible(openai).stream_transcription(
            ModelConfig("gpt-transcribe", {"audio_formats": ["flac"]}), hearing()
        )
        return [part async for part in parts]

    assert asyncio.run(first_part())[-1].final.text
    assert sent(openai).head == "fLaC"
