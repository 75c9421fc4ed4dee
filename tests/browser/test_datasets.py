"""Uploading, listening and editing a reference, as a person does it."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from accounts.models import Role
from datasets.models import Sample
from datasets.services import add_audio_sample, create_dataset
from tests.audio import make_wav
from tests.browser.conftest import VIEWS
from tests.datasets.uploads import wav_file


@pytest.fixture
def dataset(workspace):
    return create_dataset(workspace=workspace, name="Calls")


@pytest.fixture
def sample(dataset):
    return add_audio_sample(
        dataset=dataset, file=wav_file(seconds=20), filename="hello.wav", reference="hello there", tags={"noise": "low"}
    )


def wav(name, freq):
    return {"name": name, "mimeType": "audio/wav", "buffer": make_wav(freq=freq)}


BROKEN = {"name": "broken.wav", "mimeType": "audio/wav", "buffer": b"this is no audio at all" * 99}


def open_upload(page, dataset):
    page.goto(reverse("admin:datasets_dataset_change", args=[dataset.pk]))
    page.get_by_role("link", name="Upload audio").click()
    page.wait_for_url("**/upload/")


def row(page, name):
    return page.locator(".upload-list li").filter(has_text=name)


def test_many_files_are_uploaded_and_the_one_that_is_refused_says_why(page, dataset, problems):
    open_upload(page, dataset)
    page.locator("input[type=file]").set_input_files([wav("a.wav", 300), BROKEN, wav("b.wav", 400), wav("c.wav", 500)])
    expect(page.get_by_role("status")).to_have_text("3 of 4 added, 1 not added, 0 to go.")
    for name in ["a.wav", "b.wav", "c.wav"]:
        expect(row(page, name)).to_contain_text("Added")
        expect(row(page, name).get_by_role("progressbar")).to_have_js_property("value", 1)
    expect(row(page, "broken.wav")).to_contain_text("Not added: The file is not audio")
    expect(page.get_by_role("progressbar", name="All files")).to_have_js_property("value", 1)
    assert sorted(Sample.objects.values_list("key", flat=True)) == ["a.wav", "b.wav", "c.wav"]
    assert len(problems) == 1  # the browser notes the answer 400
    problems.clear()


def test_a_file_that_failed_is_tried_again(page, dataset, problems):
    open_upload(page, dataset)
    page.route("**/api/v1/**", lambda route: route.abort())
    page.locator("input[type=file]").set_input_files([wav("a.wav", 300)])
    expect(row(page, "a.wav")).to_contain_text("The server could not be reached")
    page.unroute("**/api/v1/**")
    row(page, "a.wav").get_by_role("button", name="Retry").press("Enter")
    expect(row(page, "a.wav")).to_contain_text("Added")
    assert Sample.objects.count() == 1
    problems.clear()


def test_files_are_dropped_on_the_page(page, dataset):
    open_upload(page, dataset)
    page.evaluate(
        """bytes => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(bytes)], "dropped.wav", {type: "audio/wav"}));
            const zone = document.querySelector(".drop-zone");
            zone.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
        }""",
        list(make_wav(0.2)),
    )
    expect(row(page, "dropped.wav")).to_contain_text("Added")


def test_leaving_while_files_are_on_their_way_asks_first(page, dataset, problems):
    open_upload(page, dataset)
    page.route("**/api/v1/**", lambda route: None)  # never answered
    page.locator("input[type=file]").set_input_files([wav("a.wav", 300)])
    expect(row(page, "a.wav")).to_contain_text("Uploading")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.get_by_role("link", name="Back to the dataset").click()
    page.wait_for_url(re.compile("change"))
    assert asked == ["beforeunload"]
    problems.clear()


def test_the_player_seeks_by_clicking_the_waveform(page, sample):
    answers = []
    page.on("response", lambda response: answers.append(response) if "/audio/" in response.url else None)
    page.goto(reverse("admin:datasets_sample_change", args=[sample.pk]))
    waveform = page.locator(".player-waveform")
    expect(waveform.locator("canvas").first).to_be_visible()
    audio = page.locator("audio")
    page.wait_for_function("document.querySelector('audio').readyState > 0")
    box = waveform.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    page.wait_for_function("document.querySelector('audio').currentTime > 14")
    assert audio.evaluate("audio => audio.currentTime") == pytest.approx(15, abs=0.5)
    assert {answer.status for answer in answers} == {206}


def test_the_player_is_worked_by_keyboard(page, sample):
    page.goto(reverse("admin:datasets_sample_change", args=[sample.pk]))
    page.wait_for_function("document.querySelector('audio').readyState > 0")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('audio').currentTime >= 2")
    page.keyboard.press("Space")
    page.wait_for_function("!document.querySelector('audio').paused")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('audio').paused")
    page.get_by_label("Reference", exact=True).press("Space")  # a space of the text, not of the player
    assert page.locator("audio").evaluate("audio => audio.paused")


def test_a_reference_is_edited_in_place(page, sample):
    page.goto(reverse("admin:datasets_sample_change", args=[sample.pk]))
    page.get_by_label("Reference", exact=True).fill("hello you")
    expect(page.get_by_role("status")).to_have_text("Not saved yet.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved as revision 2.")
    expect(page.locator("#revisions")).to_contain_text("The current reference is revision 2.")
    expect(page.locator("#revisions")).to_contain_text("hello there")
    sample.refresh_from_db()
    assert (sample.reference, sample.reference_revision) == ("hello you", 2)


def test_a_reference_that_is_not_saved_says_so_and_stays_on_the_page(page, sample, problems):
    page.goto(reverse("admin:datasets_sample_change", args=[sample.pk]))
    page.get_by_label("Language").fill("no such language")
    page.get_by_label("Reference", exact=True).fill("precious")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Not saved: 'no such language' is not a language tag")
    expect(page.get_by_label("Reference", exact=True)).to_have_value("precious")
    sample.refresh_from_db()
    assert sample.reference == "hello there"
    problems.clear()


def test_a_reviewer_reads_the_reference_only(open_page, make_member, sample):
    page = open_page(make_member(Role.REVIEWER))
    page.goto(reverse("admin:datasets_sample_change", args=[sample.pk]))
    expect(page.get_by_text("hello there")).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)


@pytest.mark.parametrize("view", VIEWS)
def test_no_screen_is_wider_than_its_window(page, dataset, sample):
    sample_page = reverse("admin:datasets_sample_change", args=[sample.pk])
    of_dataset = [
        reverse(f"admin:datasets_dataset_{name}", args=[dataset.pk]) for name in ("change", "upload", "import_file")
    ]
    lists = [reverse(f"admin:datasets_{name}_changelist") for name in ("dataset", "sample", "import")]
    for address in [sample_page, *of_dataset, *lists]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
