"""The page to talk with models, in a real browser: by a file, and by chromium's own microphone."""

import os
import wave
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect, sync_playwright

from accounts.models import Membership, Role, User
from tests.browser.conftest import CHROMIUM, PATIENCE, QUIET
from tests.voice.conftest import STUDIO
from tests.voice.speech import spoken
from voice.models import RealtimeSession

pytestmark = pytest.mark.slow
SHOTS = os.environ.get("SCREENSHOTS")  # a folder to put pictures of the page into
ANSWER = "Good morning. It is nine o'clock."


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A WAV file of speech with silence behind it, as chromium's fake microphone plays it again and again."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    silence = np.zeros(3 * 24_000, np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(np.concatenate([silence[:12_000], spoken("good morning to you"), silence]).tobytes())
    return path


@pytest.fixture(scope="module")
def evaluator(live):
    user = User.objects.create_user("talker", password="pw", is_staff=True)
    Membership.objects.create(user=user, workspace=live.workspace, role=Role.EVALUATOR)
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.fixture(scope="module")
def browser(recording):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    fake += [f"--use-file-for-fake-audio-capture={recording}", "--autoplay-policy=no-user-gesture-required"]
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright keeps an event loop in this thread
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *fake])
        yield chromium
        chromium.close()


@pytest.fixture
def page(live, studio, evaluator, browser):
    """The page, open; nothing may be asked of another host, and no script may fail."""
    studio.settings(text="good morning to you", chat_text=ANSWER, seconds_a_character=0.02)
    problems = []
    context = browser.new_context(base_url=live.address, viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(PATIENCE)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": evaluator, "url": live.address}])
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.on("request", lambda request: live.address[7:] in request.url or problems.append(request.url))
    page.goto("/admin/voice/voicepipeline/talk/")
    yield page
    context.close()
    assert [each for each in problems if not each.startswith(("blob:", "data:"))] == []


def picture(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def test_a_file_is_said_and_answered(page, live, recording, sessions):
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#talk-state")).to_have_text("Connected: speak")
    page.set_input_files("#talk-file", recording)
    conversation = page.locator("#talk-conversation")
    expect(conversation).to_contain_text("good morning to you")
    expect(conversation).to_contain_text(ANSWER)
    expect(page.locator("#talk-delays td").nth(4)).to_contain_text("ms")
    expect(page.locator("#talk-events")).to_contain_text("response.output_audio.delta")
    picture(page, "talk-file")
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator("#talk-state")).to_have_text("Not connected")
    (session,) = sessions()
    assert (session.end, session.caller, session.api_key) == ("client", "talker", None)
    assert session.turns.first().delay > 0
    assert {record.result for record in live.records(3, session_id=session.pk)} == {"success"}


def test_a_turn_by_hand_and_other_models_can_be_chosen(page, recording, sessions):
    page.get_by_label("A turn ends").select_option("hand")
    page.get_by_label("Speech to text").select_option("studio/whisper")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#talk-state")).to_have_text("Connected: speak")
    page.set_input_files("#talk-file", recording)
    expect(page.locator("#talk-conversation")).to_contain_text(ANSWER)
    expect(page.locator("#talk-delays td").nth(4)).to_contain_text("ms")
    page.get_by_role("button", name="Disconnect").click()
    (session,) = sessions()
    assert session.turns.get().stt_model == "studio/whisper"


def test_the_microphone_is_heard_and_answered(page, sessions):
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#talk-state")).to_have_text("Connected: speak")
    page.get_by_role("button", name="Use microphone").click()
    expect(page.locator("#talk-conversation")).to_contain_text(ANSWER)
    expect(page.locator("#talk-events")).to_contain_text("input_audio_buffer.speech_started")
    page.get_by_role("button", name="Stop microphone").click()
    picture(page, "talk-microphone")
    page.get_by_role("button", name="Disconnect").click()
    assert sessions()[0].turns.exists()


@pytest.fixture
def talked(live):
    """A session with an answer, the newest of all."""
    now, models = timezone.now(), dict(zip(("stt_model", "chat_model", "tts_model"), STUDIO, strict=True))
    session = RealtimeSession.objects.create(
        workspace=live.workspace,
        caller="talker",
        dialect="ga",
        kind="realtime",
        started_at=now,
        seen_at=now,
        ended_at=now,
        end="client",
        **models,
    )
    session.turns.create(status="completed", delay=0.42, duration=1.5, started_at=now, **models)


def test_sessions_are_listed_with_their_turns_and_delays(page, talked):
    page.goto("/admin/voice/realtimesession/")
    row = page.locator("#result_list tbody tr").first
    expect(row).to_contain_text("talker")
    expect(row).to_contain_text("studio/chat")
    expect(row).to_contain_text("420 ms")
    picture(page, "sessions")
    row.get_by_role("link").first.click()
    expect(page.locator("body")).to_contain_text("Completed")
    picture(page, "session")
    for scheme, width in (("dark", 1440), ("light", 400), ("dark", 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        for name in ("realtimesession", "voicepipeline", "voicepipeline/talk"):
            page.goto(f"/admin/gateway/{name}/")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            picture(page, f"{name.replace('/', '-')}-{scheme}-{width}")
