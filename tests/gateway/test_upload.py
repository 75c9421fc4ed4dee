"""What the gateway makes of a file that somebody uploads."""

import asyncio
import hashlib
import io
import tempfile
from contextlib import closing

import av
import pytest

from datasets.errors import AudioReason, InvalidAudio
from datasets.fair_turns import FairTurns
from gateway.audio.upload import in_accepted_format, ingest
from providers.adapters.base import CapabilityNotSupported
from tests.audio import encode, make_wav

FORMATS = ["wav", "mp3", "flac", "m4a", "aac", "ogg", "opus", "webm"]


def taken_in(audio):
    return asyncio.run(ingest(io.BytesIO(audio), workspace_id=1))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_known_by_its_content_and_measured(format):
    content = encode(format, 1.5)
    with closing(taken_in(content)) as audio:
        assert audio.duration == pytest.approx(1.5, abs=0.15)
        assert audio.size == len(content)
        assert audio.sha256 == hashlib.sha256(content).hexdigest()
        assert audio.mime_type == {
            "mp3": "audio/mpeg", "m4a": "audio/mp4", "opus": "audio/ogg",
        }.get(format, f"audio/{format}")  # fmt: skip
        assert audio.file_name.startswith("audio.")
        with audio.open() as stream, audio.local_path() as path:
            assert stream.read() == path.read_bytes() == content


def test_a_file_on_disk_is_read_where_it_lies():
    content = encode("mp3", 0.5)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        with (
            closing(asyncio.run(ingest(file, workspace_id=1))) as audio,
            audio.local_path() as path,
            audio.open() as stream,
        ):
            assert str(path) == file.name
            assert stream.read() == content


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", AudioReason.EMPTY),
        (b"Dear colleague, " * 100, AudioReason.NOT_AUDIO),
        (b"#EXTM3U\nfile:///etc/passwd\n", AudioReason.UNSUPPORTED_FORMAT),
        (make_wav(0.05), AudioReason.TOO_SHORT),
        (make_wav(0), AudioReason.TOO_SHORT),
        (b"OggS" + b"\x00" * 500, AudioReason.TRUNCATED),
        (b"RIFF\x00\x00\x00\x00WAVE" + b"\x00" * 500, AudioReason.TRUNCATED),
    ],
)
def test_what_is_no_audio_is_refused_with_its_reason(content, code):
    with pytest.raises(InvalidAudio) as refusal:
        taken_in(content)
    assert refusal.value.code == code


@pytest.mark.parametrize("format", FORMATS)
def test_audio_is_not_decoded_beyond_what_is_asked_for(format):
    with pytest.raises(InvalidAudio) as refusal:
        asyncio.run(ingest(io.BytesIO(encode(format, 5)), workspace_id=1, max_seconds=2))
    assert refusal.value.code == AudioReason.TOO_LONG


def test_a_wav_is_as_long_as_what_is_there_and_not_as_it_claims():
    content = make_wav(2.0)
    assert taken_in(content[: len(content) // 2]).duration == pytest.approx(1.0, abs=0.01)
    assert taken_in(content + b"LIST" + (9000).to_bytes(4, "little") + b"\0" * 9000).duration == 2.0


def test_a_wav_that_was_recorded_to_a_pipe_is_measured():
    content = bytearray(make_wav(1.0))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    assert taken_in(bytes(content)).duration == 1.0


def test_audio_that_the_model_takes_is_passed_as_it_is():
    audio = taken_in(encode("m4a", 0.5))
    for formats in ([], ["mp4"], ["wav", "m4a"]):
        assert asyncio.run(in_accepted_format(audio, formats)) is audio


@pytest.mark.parametrize(("formats", "made"), [(["mp3", "flac", "wav"], "flac"), (["wav", "mp3"], "wav")])
@pytest.mark.parametrize("format", ["webm", "ogg", "m4a"])
def test_audio_that_the_model_does_not_take_is_transcoded(format, formats, made):
    audio = taken_in(encode(format, 1.0))
    with closing(asyncio.run(in_accepted_format(audio, formats))) as other:
        assert other.container.name == made
        assert other.duration == audio.duration
        with other.open() as stream, av.open(stream) as file:
            assert file.format.name == made
            samples = sum(frame.samples for frame in file.decode(audio=0))
            assert samples / file.streams.audio[0].rate == pytest.approx(1.0, abs=0.1)


def test_a_model_that_takes_nothing_that_can_be_written_is_named_so():
    with pytest.raises(CapabilityNotSupported, match=r"takes mp3, and this is ogg\. Convert"):
        asyncio.run(in_accepted_format(taken_in(encode("ogg", 0.5)), ["mp3"]))


def test_transcoding_waits_for_its_turn_among_the_decoders(monkeypatch):
    turns = []
    turn = FairTurns.turn
    monkeypatch.setattr(FairTurns, "turn", lambda self, *who, **how: turns.append(who) or turn(self, *who, **how))
    audio = asyncio.run(ingest(io.BytesIO(encode("ogg", 0.5)), workspace_id=7))
    asyncio.run(in_accepted_format(audio, ["flac"])).close()
    assert turns == [(7,), (7,)]
