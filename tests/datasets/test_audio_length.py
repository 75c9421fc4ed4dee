"""Audio that is too long: refused by what it claims, or where decoding has come so far; never decoded to its end."""

import io

import pytest

from datasets.errors import AudioReason, InvalidAudio
from datasets.probe import _Lengths, probe
from tests.audio import encode, silence_in_flac

HOUR = 3600.0
SAMPLE_COUNT = slice(21, 26)  # in a FLAC file: 4 bits that belong to something else, and how many samples there are


class CountingFile(io.BytesIO):
    """Knows how much of it was read."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


def claiming(flac, samples):
    """The file with another number of samples in its header; 0: unknown."""
    changed = bytearray(flac)
    held = int.from_bytes(changed[SAMPLE_COUNT], "big") & ~(2**36 - 1)
    changed[SAMPLE_COUNT] = (held | samples).to_bytes(5, "big")
    return bytes(changed)


def refusal_of(file, max_seconds=9.5 * HOUR):
    with pytest.raises(InvalidAudio) as refusal:
        probe(file, max_seconds)
    return refusal.value


def test_a_file_that_claims_to_be_too_long_is_refused_from_its_header():
    flac = CountingFile(claiming(silence_in_flac(1800), 10 * 3600 * 1000))
    refusal = refusal_of(flac)
    assert refusal.code == AudioReason.TOO_LONG
    assert "longer than 9.5 hours" in refusal.message
    assert flac.count < len(flac.getvalue()) / 2  # with what FFmpeg reads ahead


@pytest.mark.parametrize("format", ["flac", "mp3", "m4a", "webm", "mka", "caf"])
def test_every_format_that_claims_a_length_is_refused_by_it(format, monkeypatch):
    content = io.BytesIO(encode(format, 20))
    monkeypatch.setattr("datasets.probe._Decoding.run", lambda *_: pytest.fail("it was decoded"))
    assert refusal_of(content, max_seconds=10).code == AudioReason.TOO_LONG


@pytest.mark.parametrize("format", ["wav", "aac", "ogg", "opus"])
def test_decoding_stops_at_the_limit_where_nothing_is_claimed(format, monkeypatch, tmp_path):
    path = tmp_path / "audio"
    path.write_bytes(encode(format, 20))
    lengths = []
    allow = _Lengths.allow
    monkeypatch.setattr(_Lengths, "allow", lambda *given: (lengths.append(given[1]), allow(*given)))
    with path.open("rb") as file:
        assert refusal_of(file, max_seconds=10).code == AudioReason.TOO_LONG
    assert lengths[-1] == pytest.approx(10, abs=0.5)


def test_hours_of_silence_in_a_small_file_are_refused_from_the_header(monkeypatch):
    bomb = silence_in_flac(9.4 * HOUR)
    assert len(bomb) < 7_000_000
    monkeypatch.setattr("datasets.probe._Decoding.run", lambda *_: pytest.fail("it was decoded"))
    refusal = refusal_of(io.BytesIO(bomb))
    assert refusal.code == AudioReason.TOO_SPARSE
    assert "too small for the length of its audio" in refusal.message


def test_hours_of_silence_that_claim_nothing_are_refused_before_they_are_all_decoded():
    bomb = CountingFile(claiming(silence_in_flac(9.4 * HOUR), 0))
    assert refusal_of(bomb).code == AudioReason.TOO_SPARSE
    assert bomb.count < len(bomb.getvalue()) / 2


def test_many_channels_of_silence_count_like_time():
    content = silence_in_flac(120, rate=96000, layout="7.1")
    for flac in (content, claiming(content, 0)):
        assert refusal_of(io.BytesIO(flac)).code == AudioReason.TOO_SPARSE


def test_ten_minutes_of_silence_are_taken():
    assert probe(io.BytesIO(silence_in_flac(590)), 9.5 * HOUR).duration == pytest.approx(590, abs=5)
