"""Providers that do not answer."""

import httpx
import pytest

from providers.models import SpeechModel
from tests.audio import make_wav
from tests.gateway.live import live_site, make_alias, make_provider
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    """With calls that may take three seconds, and a second provider."""
    with live_site(tmp_path_factory.mktemp("site"), CALL_TIMEOUT_SECONDS="3") as site:
        spare = make_provider(site.workspace, "spare", site.studio.url)
        SpeechModel.objects.create(provider=spare, name="hears", upstream_name="whisper-1", speech_to_text=True)
        make_alias(site.workspace, "hearing", "studio/transcribe", "spare/hears")
        # The first waits for OpenAI's SDK to be loaded.
        wait_for(lambda: ask(site, "studio/transcribe", stream="true").status_code == 200)
        yield site


def ask(live, model, request_id="", **fields):
    headers = {"Authorization": f"Bearer {live.key}", "X-Request-Id": request_id}
    data, files = {"model": model, **fields}, {"file": ("upload", make_wav(0.5))}
    return httpx.post(f"{live.api}/audio/transcriptions", data=data, files=files, headers=headers, timeout=120)


def test_a_provider_that_does_not_answer_is_a_504(live, studio):
    studio.fault("transcriptions", "hang")
    answer = ask(live, "studio/whisper")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    wait_for(lambda: studio.left)


@pytest.mark.parametrize("stream", ["false", "true"])
def test_the_next_model_answers_when_one_does_not(live, studio, stream):
    studio.fault("transcriptions", "hang", match="gpt-4o-transcribe")
    answer = ask(live, "hearing", f"hang-{stream}", stream=stream)
    assert (answer.status_code, answer.headers["x-earshot-model"]) == (200, "spare/hears")
    assert [call.fields["model"] for call in studio.calls] == [["gpt-4o-transcribe"], ["whisper-1"]]
    record = live.only_record(request_id=f"hang-{stream}")
    assert (record.model_name, record.served_by, record.result) == ("hearing", "spare/hears", "success")
