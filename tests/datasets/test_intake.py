"""What audio is taken, what is measured of it, and what is refused with which reason."""

import io
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import av
import numpy as np
import pytest
from django.db import connection

from datasets.audio_source import StoredAudio
from datasets.errors import InvalidAudio, InvalidSample, KeyTaken
from datasets.intake import ingest
from datasets.models import Audio, Sample
from datasets.services import add_audio_sample, create_dataset
from tests.audio import FORMATS, encode, make_wav, silence_in_flac

pytestmark = pytest.mark.django_db

CONTAINERS = {
    "wav": ("wav", "audio/wav"),
    "mp3": ("mp3", "audio/mpeg"),
    "flac": ("flac", "audio/flac"),
    "m4a": ("mp4", "audio/mp4"),
    "aac": ("aac", "audio/aac"),
    "ogg": ("ogg", "audio/ogg"),
    "opus": ("ogg", "audio/ogg"),
    "webm": ("webm", "audio/webm"),
    "mka": ("matroska", "audio/x-matroska"),
    "aiff": ("aiff", "audio/aiff"),
    "caf": ("caf", "audio/x-caf"),
    "w64": ("w64", "audio/x-w64"),
}


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_recognised_by_its_content_whatever_it_is_called(add, format):
    audio = add(encode(format, 2.0), "holiday.txt").audio
    assert (audio.container, audio.mime_type) == CONTAINERS[format]
    assert audio.duration == pytest.approx(2.0, abs=0.15)
    assert audio.sample_rate == FORMATS[format][2]
    assert audio.channels == (2 if format == "ogg" else 1)


def test_what_is_measured_is_stored(add):
    data = make_wav(1.5, rate=8000, channels=2)
    audio = add(data).audio
    assert (audio.codec, audio.sample_rate, audio.channels) == ("pcm_s16le", 8000, 2)
    assert audio.duration == 1.5
    assert audio.size == len(data)
    with StoredAudio(audio).open() as stream:
        assert stream.read() == data


def test_the_waveform_follows_the_loudness(add):
    rate, seconds = 16000, 4
    pcm = np.zeros(rate * seconds, dtype=np.int16)
    pcm[rate : 2 * rate] = 16384
    pcm[3 * rate :] = -32768
    peaks = np.frombuffer(bytes(add(wav_of(pcm, rate)).audio.peaks), dtype=np.uint8)
    assert len(peaks) <= 1000
    quarter = len(peaks) / 4
    middles = [int(peaks[round(quarter * (i + 0.5))]) for i in range(4)]
    assert middles == [0, 128, 0, 255]


@pytest.mark.parametrize("format", ["wav", "flac", "opus"])
def test_a_long_file_has_no_more_bins_than_a_short_one(add, format):
    assert len(bytes(add(encode(format, 20)).audio.peaks)) <= 1000


@pytest.mark.parametrize("share", [0.1, 0.5, 0.85])
@pytest.mark.parametrize("format", ["wav", "mp3", "flac", "webm", "m4a", "opus", "ogg", "aac", "aiff"])
def test_a_file_that_was_cut_off_is_refused(add, format, share):
    data = encode(format, 6)
    assert refused(add, data[: int(len(data) * share)]) == "truncated"
    assert not Sample.objects.exists()


def test_a_cut_off_m4a_with_its_index_in_front_is_refused(add):
    data = encode("m4a", 6, options={"movflags": "faststart"})
    assert refused(add, data[: len(data) // 2]) == "truncated"


def test_a_wav_that_was_recorded_to_a_pipe_claims_no_length_and_is_taken(add):
    data = bytearray(make_wav(2))
    at = data.index(b"data")
    for unknown in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        data[at + 4 : at + 8] = unknown
        assert add(bytes(data)).audio.duration == 2.0


def test_a_webm_that_was_recorded_live_claims_no_length_and_is_taken(add):
    assert add(encode("webm", 2, options={"live": "1"})).audio.duration == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("before", [bytes(100), b"ID3\x04\0\0\0\0\x4e\x20" + bytes(10_016)])
def test_an_mp3_behind_padding_or_a_large_tag_is_taken(add, before):
    audio = add(before + encode("mp3", 2)).audio
    assert (audio.container, audio.duration) == ("mp3", pytest.approx(2.0, abs=0.1))


def test_an_mp3_without_a_frame_count_is_not_held_against_a_guessed_length(add):
    quiet, loud = (
        encode("mp3", 3, freq=0.01, options={"write_xing": "0"}),
        encode("mp3", 3, options={"write_xing": "0"}),
    )
    assert add(quiet + loud).audio.duration == pytest.approx(6.2, abs=0.2)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello world\n" * 500, "not_audio"),
        (b"%PDF-1.7 and so on", "not_audio"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "not_audio"),
        (b"\xff\xfb" + b"\x90" * 40, "not_audio"),
        (make_wav(0.05), "too_short"),
        (make_wav(1)[:44], "truncated"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + b"\0" * 500, "unsupported_format"),
    ],
)
def test_what_is_no_audio_is_refused_with_its_reason(add, data, code):
    assert refused(add, data) == code


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "start", [b"", b"\xff\xfb\x90\x00", b"ID3\x04\0\0\0\0\0\x0a", b"OggS", b"fLaC", b"RIFF\0\0\0\0WAVE"]
)
def test_random_bytes_are_refused(add, start, seed):
    noise = np.random.default_rng(seed).bytes(50_000)
    assert refused(add, start + noise) in ("not_audio", "truncated", "damaged", "no_audio_stream")


def test_a_film_without_sound_is_refused(add):
    assert refused(add, silent_film()) == "no_audio_stream"


def test_encrypted_audio_is_refused(add):
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    assert refused(add, encode("m4a", 2, options=options)) == "encrypted"


def test_a_song_with_copy_protection_is_refused(add):
    assert refused(add, encode("m4a", 2).replace(b"mp4a", b"drms")) == "encrypted"


def test_a_file_with_holes_is_refused_as_damaged(add):
    data = bytearray(encode("m4a", 6))
    start = data.index(b"mdat") + 1000
    data[start : start + 10_000] = np.random.default_rng(1).bytes(10_000)
    assert refused(add, bytes(data)) == "damaged"


def test_a_file_above_the_limit_is_refused(add, settings):
    settings.MAX_AUDIO_MB = 1
    assert refused(add, make_wav(40)) == "too_large"


def test_audio_above_the_limit_is_refused_however_small_its_file(add, settings):
    settings.MAX_AUDIO_HOURS = 9.5
    bomb = silence_in_flac(10 * 3600)
    assert len(bomb) < 7_000_000
    assert refused(add, bomb) == "too_long"


def test_a_refusal_says_what_to_do(add):
    with pytest.raises(InvalidAudio, match=r"cut off: only 1\.5 of 3\.0 seconds are there\. Upload the whole file"):
        add(make_wav(3)[: 44 + 48000])


# --- Files that are meant to make the server read or fetch something else -------------------------------------


@pytest.fixture
def listener():
    """A loopback server that remembers who called."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(make_wav(1))

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.calls = calls
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("extra", ["", "#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"])
def test_a_playlist_reads_no_file_and_calls_nobody(add, listener, tmp_path, extra):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(make_wav(1))
    for target in (secret, f"file://{secret}", f"http://127.0.0.1:{listener.server_port}/a.wav"):
        playlist = f"#EXTM3U\n{extra}#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
        assert refused(add, playlist.encode(), "song.mp3") == "unsupported_format"
    assert listener.calls == []
    assert not Audio.objects.exists()


def test_a_concat_script_reads_no_file(add, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(make_wav(1))
    assert refused(add, f"ffconcat version 1.0\nfile {secret}\n".encode()) == "not_audio"


def test_a_session_description_opens_no_port_and_does_not_wait(add):
    sdp = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    assert refused(add, sdp) == "not_audio"


def test_a_playlist_behind_an_audio_magic_calls_nobody(add, listener):
    for magic in (b"ID3\x04\0\0\0\0\0\0", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftyp"):
        body = magic + f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{listener.server_port}/a.wav\n".encode()
        assert refused(add, body) in ("not_audio", "truncated")
    assert listener.calls == []


# --- Storing --------------------------------------------------------------------------------------------------


def test_the_same_audio_twice_is_stored_once_and_flagged(add, media):
    first, second = add(make_wav(), "one.wav"), add(make_wav(), "two.wav")
    assert first.audio == second.audio
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert len(stored_files(media)) == 1


def test_another_workspace_stores_its_own_copy(add, other_workspace, media):
    other = create_dataset(workspace=other_workspace, name="Theirs")
    mine = add(make_wav())
    theirs = add_audio_sample(dataset=other, file=io.BytesIO(make_wav()), filename="a.wav")
    assert mine.audio != theirs.audio
    assert not theirs.is_duplicate
    assert len(stored_files(media)) == 2


def test_the_stored_name_is_made_of_the_content_alone(add, workspace):
    audio = add(make_wav(), "../../etc/passwd").audio
    assert audio.file.name == f"audio/{workspace.pk}/{audio.sha256[:2]}/{audio.sha256}.wav"


def test_a_refused_file_leaves_nothing_behind(add, media):
    refused(add, b"no audio at all")
    assert stored_files(media) == []


def test_a_file_whose_row_was_lost_in_a_crash_is_used_again(add, workspace, media):
    ingest(workspace.pk, io.BytesIO(make_wav()))  # and the process dies here
    assert add(make_wav()).audio.duration == 1.0
    assert len(stored_files(media)) == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_audio_from_many_at_once_is_one_row_and_one_file(dataset, media):
    def upload(number):
        try:
            return add_audio_sample(dataset=dataset, file=io.BytesIO(make_wav()), filename="same.wav").key
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        keys = list(threads.map(upload, range(6)))
    assert Audio.objects.count() == 1
    assert len(stored_files(media)) == 1
    assert sorted(keys) == ["same.wav", *(f"same.wav ({n})" for n in range(2, 7))]
    assert Sample.objects.filter(is_duplicate=False).count() == 1


# --- Keys and facts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "key"),
    [
        ("hello world.wav", "hello world.wav"),
        ("folder/sub/hello.wav", "hello.wav"),
        ("C:\\temp\\hello.wav", "hello.wav"),
        ("..", ".."),
        ("../..", ".."),
        ("", "audio"),
        ("/", "audio"),
        ("日本語 🎙️.mp3", "日本語 🎙️.mp3"),
        ("cafe\u0301.wav", "caf\u00e9.wav"),
        ("a\x00b\nc\x1b[31m.wav", "abc[31m.wav"),
        ("evil\u202egnp.wav", "evilgnp.wav"),
        ("n" * 400, "n" * 300),
    ],
)
def test_any_file_name_becomes_a_safe_key(add, filename, key):
    assert add(make_wav(), filename).key == key


def test_a_taken_file_name_gets_a_number_and_stays_within_the_limit(add):
    assert [add(make_wav(), "n" * 400).key for _ in range(2)] == ["n" * 300, "n" * 296 + " (2)"]


def test_a_given_key_that_is_taken_is_refused(add):
    add(make_wav(), key="one")
    with pytest.raises(KeyTaken, match="'one' is already in this dataset"):
        add(make_wav(2), key="one")


def test_tags_are_texts_and_empty_ones_are_left_out(add):
    sample = add(make_wav(), tags={"speaker": "Ann", "snr": 12.5, "noisy": True, "note": "", "other": None})
    assert sample.tags == {"speaker": "Ann", "snr": "12.5", "noisy": "true"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": {"words": ["a"]}},
        {"tags": {"reference": "x"}},
        {"language": "not a language"},
        {"reference": "nul \x00 inside"},
        {"reference": "half \ud800 a character"},
    ],
)
def test_what_cannot_be_stored_is_refused_before_the_audio_is_taken(add, media, fields):
    with pytest.raises(InvalidSample):
        add(make_wav(), **fields)
    assert stored_files(media) == []


def refused(add, data, filename="a.wav"):
    with pytest.raises(InvalidAudio) as refusal:
        add(data, filename)
    assert refusal.value.message
    return refusal.value.code


def stored_files(media):
    return [path for path in media.rglob("*") if path.is_file()] if media.exists() else []


def wav_of(pcm, rate):
    size = pcm.nbytes
    header = (
        b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
    )
    return header + b"data" + struct.pack("<I", size) + pcm.tobytes()


def silent_film():
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8))))
        container.mux(stream.encode(None))
    return out.getvalue()
