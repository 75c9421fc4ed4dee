"""Runs in a real browser: started from the form, followed live, read on the leaderboard and word by word."""

import io
import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from datasets.services import add_audio_sample, create_dataset
from evaluations.models import Result, Run
from tests.audio import make_wav
from tests.browser.conftest import VIEWS
from tests.evaluations.factories import complete, fail, make_models

SAID = ["one two three four", "five six seven eight", "nine ten eleven twelve"]


@pytest.fixture
def dataset(workspace, live_server):
    dataset = create_dataset(workspace=workspace, name="Numbers")
    for number, reference in enumerate(SAID):
        file = io.BytesIO(make_wav(freq=300 + 100 * number))
        add_audio_sample(dataset=dataset, file=file, filename=f"clip-{number}.wav", reference=reference)
    return dataset


@pytest.fixture
def models(workspace, live_server):
    return make_models(workspace, 2)


def start(page, dataset):
    """Start a run over both models from the form; the run."""
    page.goto(f"{reverse('admin:evaluations_run_start')}?dataset={dataset.pk}")
    page.get_by_label("scripted/model-a").check()
    page.get_by_label("scripted/model-b").check()
    page.get_by_role("button", name="Start run").click()
    page.wait_for_url("**/change/")
    return Run.objects.get()


def test_the_estimate_follows_what_is_ticked_before_anything_starts(page, dataset, models):
    page.goto(reverse("admin:evaluations_run_start"))
    estimate = page.locator("#estimate")
    expect(estimate).to_contain_text("Choose a dataset and tick models")

    page.get_by_label("Dataset").select_option(label="Numbers")
    expect(estimate).to_contain_text("Tick models to see the cost")
    expect(estimate).to_contain_text(re.compile(r"Samples\s*3"))
    expect(page.locator("#models")).to_contain_text("cost unknown")
    page.get_by_label("scripted/model-b").check()

    expect(estimate).to_contain_text(re.compile(r"Models\s*1"))
    expect(estimate).to_contain_text(re.compile(r"Cost\s*unknown"))
    assert not Run.objects.exists()


def test_a_run_is_followed_to_its_end_without_a_reload(page, dataset, models):
    run = start(page, dataset)
    page.evaluate("window.stillTheSamePage = true")
    live = page.locator("#run-live")
    expect(live).to_contain_text("0 of 6 results")

    complete(run, job=run.jobs.first())
    expect(live).to_contain_text("3 of 6 results")
    expect(live).to_contain_text("left")
    fail(Result.objects.filter(run=run).pending().first())
    complete(run, say=lambda result: result.sample.reference.replace("six", "sick"))

    expect(live).to_contain_text("Completed with 1 failure")
    expect(live).to_contain_text(re.compile("1 . timeout"))
    expect(page.get_by_role("button", name="Retry 1 failed")).to_be_visible()
    leaderboard = page.locator("#leaderboard")
    expect(leaderboard).to_contain_text("best")
    expect(leaderboard.locator("tbody tr").first).to_contain_text("scripted/model-a")
    expect(leaderboard.locator("tbody tr").last).to_contain_text("12.5%")
    assert page.evaluate("window.stillTheSamePage")
    assert page.locator("#run-live[hx-get], #leaderboard[hx-get]").count() == 0


def test_a_double_click_starts_one_run(page, dataset, models):
    page.goto(f"{reverse('admin:evaluations_run_start')}?dataset={dataset.pk}")
    page.get_by_label("scripted/model-a").check()
    page.get_by_role("button", name="Start run").dblclick()
    page.wait_for_url("**/change/")
    assert Run.objects.count() == 1


def test_a_run_is_cancelled_after_a_question(page, dataset, models):
    run = start(page, dataset)
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("button", name="Let it go on").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("button", name="Cancel the run").click()

    expect(page.locator("#run-live")).to_contain_text("Cancelled")
    expect(page.get_by_text("The run was cancelled.")).to_be_visible()
    run.refresh_from_db()
    assert run.status == "cancelled"


@pytest.mark.parametrize("view", VIEWS)
def test_a_result_is_reached_from_the_leaderboard_and_read_word_by_word(page, dataset, models):
    run = start(page, dataset)
    complete(run, say=lambda result: result.sample.reference.replace("six ", "sick ").replace(" twelve", ""))
    page.reload()
    page.locator("#leaderboard").get_by_role("link", name="scripted/model-b").click()
    page.get_by_role("link", name="clip-1.wav").click()

    substituted = page.locator(".ev-step-sub")
    expect(substituted.locator("del")).to_contain_text("six")
    expect(substituted.locator("ins")).to_contain_text("sick")
    expect(substituted.locator(".ev-op")).to_have_text("S")
    assert "line-through" in substituted.locator("del").evaluate("e => getComputedStyle(e).textDecorationLine")
    expect(page.get_by_text("S 1 · D 0 · I 0")).to_be_visible()

    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="clip-2.wav")).to_be_visible()
    expect(page.locator(".ev-step-del del")).to_contain_text("twelve")
    page.keyboard.press("k")
    expect(page.get_by_role("heading", name="clip-1.wav")).to_be_visible()


def test_a_page_is_never_wider_than_the_window(open_page, evaluator, dataset, models, browser, live_server):
    page = open_page(evaluator)
    page.set_viewport_size({"width": 400, "height": 900})
    run = start(page, dataset)
    complete(run)
    addresses = [
        reverse("admin:index"),
        reverse("admin:evaluations_run_changelist"),
        reverse("admin:evaluations_run_start"),
        reverse("admin:evaluations_run_change", args=[run.pk]),
        reverse("admin:evaluations_result_changelist"),
        reverse("admin:evaluations_result_change", args=[run.results.first().pk]),
    ]
    for address in addresses:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, address
