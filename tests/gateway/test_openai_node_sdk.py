"""The unmodified openai-node, from its registry, against the live site; its read streams come without a length."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.audio import encode, make_wav
from tests.voice.clients.installed import BIN, node_clients

HEARD = "we heard two foxes"


@pytest.fixture(scope="module")
def outcomes(live, tmp_path_factory):
    """What every step of sdk.mjs gave."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "speech.wav").write_bytes(make_wav(2.0))
    (folder / "long.wav").write_bytes(make_wav(150.0))  # 5 MB
    (folder / "huge.wav").write_bytes(make_wav(1.0) + bytes(26 * 1024 * 1024))
    for format in ("mp3", "webm"):
        (folder / f"speech.{format}").write_bytes(encode(format, 1.0))
    script = node_clients() / "sdk.mjs"  # modules are looked for where the script is
    shutil.copy(Path(__file__).with_name("sdk.mjs"), script)
    environment = {
        "PATH": os.environ["PATH"],
        "BASE_URL": live.api,
        "API_KEY": live.key,
        "STUDIO": live.studio.url.removesuffix("/v1"),
        "FOLDER": str(folder),
    }
    done = subprocess.run([BIN / "node", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def value(outcomes):
    """value(step) -> what it gave; fails with its error."""

    def of(step):
        assert "value" in outcomes[step], outcomes[step]
        return outcomes[step]["value"]

    return of


def test_a_read_stream_without_a_length_is_transcribed_whole(value):
    assert value("transcription") == {
        "text": HEARD,
        "usage": {"type": "duration", "seconds": 2},
        "sent": len(make_wav(2.0)),
    }
    assert value("large_read_stream") == HEARD


@pytest.mark.parametrize("step", ["buffer", "mp3", "webm"])
def test_other_files_are_transcribed(value, step):
    assert value(step) == HEARD


def test_every_format_of_a_transcription_arrives(value):
    assert value("text").strip() == HEARD
    assert value("srt").startswith("1\n00:00:00,000 --> ")
    assert value("vtt").startswith("WEBVTT\n\n00:00:00.000 --> ")
    verbose = value("verbose_json")
    assert (verbose["text"], verbose["duration"]) == (HEARD, 2)
    assert [word["word"] for word in verbose["words"]] == HEARD.split()
    assert verbose["segments"][0]["start"] == 0


def test_a_transcription_streams(value):
    *deltas, done = value("transcription_stream")
    assert "".join(event["delta"] for event in deltas) == HEARD
    assert (done["type"], done["text"]) == ("transcript.text.done", HEARD)


def test_a_translation_arrives(value):
    assert value("translation") == "this is what was said"


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/opus"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
def test_speech_arrives_in_every_encoding(value, encoding, content_type):
    answer = value(f"speech_{encoding}")
    assert answer["type"] == content_type
    assert answer["bytes"] > 3000


def test_the_embedded_engine_speaks(value):
    answer = value("local_speech")
    assert answer["type"] == "audio/mpeg"
    assert answer["bytes"] > 3000


def test_speech_arrives_while_it_is_made(value):
    answer = value("speech_while_it_is_made")
    assert answer["first"] > 0
    assert answer["open"] == 1
    assert answer["rest"] > 10_000


def test_speech_streams_as_events(value):
    types = value("speech_events")
    assert set(types[:-1]) == {"speech.audio.delta"}
    assert types[-1] == "speech.audio.done"


def test_models_are_listed_and_shown(value):
    assert {"studio/whisper", "local/espeak-ng"} <= set(value("models"))
    assert value("model") == "studio/whisper"


@pytest.mark.parametrize("step", ["transcription_stream_breaks", "speech_breaks"])
def test_streams_that_a_provider_breaks_off_raise(outcomes, step):
    assert "error" in outcomes[step]


@pytest.mark.parametrize(
    ("step", "error", "status", "param"),
    [
        ("wrong_key", "AuthenticationError", 401, None),
        ("unknown_model", "NotFoundError", 404, "model"),
        ("no_audio", "BadRequestError", 400, "file"),
        ("empty_voice", "BadRequestError", 400, "voice"),
        ("too_large", "APIError", 413, "file"),
        ("provider_429", "RateLimitError", 429, None),
        ("provider_500", "InternalServerError", 502, None),
    ],
)
def test_errors_are_of_the_sdk_s_own_types(outcomes, step, error, status, param):
    outcome = outcomes[step]
    assert (outcome["error"], outcome["status"], outcome["param"]) == (error, status, param)
