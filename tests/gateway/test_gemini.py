"""Gemini behind the gateway: another protocol, the same answers."""

import httpx
import pytest

from providers.adapters.gemini.answers import DEFAULT_PROMPT
from tests.audio import encode, make_wav
from tests.evaluations.gemini import make_gemini
from tests.servers.gemini import GeminiServer, sha256_of
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def http(live):
    headers = {"Authorization": f"Bearer {live.key}"}
    with GeminiServer.start() as gemini, httpx.Client(base_url=live.api, headers=headers, timeout=60) as client:
        provider = make_gemini(live.workspace, gemini)
        client.gemini = gemini
        client.model = f"gemini/{provider.models.filter(speech_to_text=True).first().name}"
        wait_for(lambda: client.get(f"/models/{client.model}").status_code == 200)
        yield client


def ask(http, audio, **fields):
    data = {"model": http.model, **fields}
    return http.post("/audio/transcriptions", data=data, files={"file": ("upload", audio)})


@pytest.mark.parametrize("wanted", ["json", "text", "srt", "vtt", "verbose_json"])
def test_every_format_is_made_of_a_text_alone(http, wanted):
    audio = make_wav(1.5)
    http.gemini.answers({sha256_of(audio): "one segment, honestly"})
    answer = ask(http, audio, response_format=wanted)
    assert answer.status_code == 200
    assert "one segment, honestly" in answer.text
    if wanted == "srt":
        assert "00:00:00,000 --> 00:00:01,500" in answer.text
    if wanted == "verbose_json":
        assert answer.json()["duration"] == 1.5


def test_a_stream_ends_with_the_whole_text(http):
    answer = ask(http, make_wav(0.5), stream="true")
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_text_that_was_cut_off_is_not_passed_for_the_whole(http):
    http.gemini.fault("answer", "max_tokens", times=1)
    answer = ask(http, make_wav(0.5))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cut_off")


def test_gemini_is_told_to_transcribe_and_a_prompt_is_a_hint_beside_it(http):
    assert ask(http, make_wav(0.5)).status_code == 200
    assert http.gemini.state()["told"][-1] == DEFAULT_PROMPT
    assert ask(http, make_wav(0.5), prompt="Names: Reynard.", language="en").status_code == 200
    told = http.gemini.state()["told"][-1]
    assert told.startswith(DEFAULT_PROMPT)
    assert "Names: Reynard." in told
    assert "English" in told


@pytest.mark.parametrize("format", ["webm", "m4a"])
def test_audio_that_gemini_does_not_take_is_sent_as_flac(http, format):
    http.gemini.settings(refused_mime_types=["audio/webm", "video/webm", "audio/mp4", "video/mp4"])
    assert ask(http, encode(format, 1.0)).status_code == 200


def test_audio_that_no_request_can_hold_is_put_at_gemini_and_taken_away_again(http):
    audio = make_wav(500.0)  # 16 MB
    http.gemini.answers({sha256_of(audio): "a long story"})
    assert ask(http, audio).json()["text"] == "a long story"
    state = http.gemini.state()
    assert (state["files_deleted"], state["files"]) == (len(state["files_ever"]), [])
    assert state["files_ever"]


def test_a_file_that_gemini_cannot_process_is_refused_and_taken_away(http):
    http.gemini.fault("file", "FAILED", times=1)
    answer = ask(http, make_wav(500.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "file_refused")
    assert http.gemini.state()["files"] == []
