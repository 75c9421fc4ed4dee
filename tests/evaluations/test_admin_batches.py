"""The screens of runs in batches: the form's mode and prompt, what is at the provider, collecting again."""

import re
from decimal import Decimal

import pytest
from django.urls import reverse

from evaluations.models import Batch, Result, Run, Upload
from evaluations.services import start_run
from providers.models import Price
from providers.registry import default_prompt
from tests.evaluations.delivery import deliver_all
from tests.evaluations.factories import complete, make_run
from tests.evaluations.gemini import deliver_until, finish, make_audio_dataset
from tests.evaluations.test_admin_runs import START, address, answers, page_of, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def evaluator(client, make_member):
    client.force_login(make_member())
    return client


# --- Starting one -------------------------------------------------------------------------------


def test_the_form_shows_the_default_prompt_and_starts_with_another(evaluator, workspace, flash):
    dataset = make_audio_dataset(workspace, samples=1)
    form = evaluator.get(START)
    assert (
        f"Empty: the provider's default. Google Gemini: “{default_prompt('gemini')}”"
        in form.context["form"]["prompt"].help_text
    )
    assert default_prompt("gemini") in text_of(form)

    sent = answers(form, dataset=dataset.pk, models=[flash.pk], mode="direct", prompt="Names: Ada", language="hi")
    evaluator.post(START, sent)

    run = Run.objects.get()
    assert run.options == {"mode": "direct", "prompt": "Names: Ada", "language": "hi"}
    assert run.jobs.get().prompt == "Names: Ada"


def test_without_a_prompt_the_default_is_frozen_with_the_run(evaluator, workspace, flash):
    dataset = make_audio_dataset(workspace, samples=1)
    evaluator.post(START, answers(evaluator.get(START), dataset=dataset.pk, models=[flash.pk]))
    run = Run.objects.get()
    assert run.jobs.get().prompt == default_prompt("gemini")
    said = text_of(evaluator.get(page_of(run)))
    assert f"Prompt of gemini/gemini-3.8-flash {default_prompt('gemini')}" in said


def test_the_estimate_is_half_in_batches(evaluator, workspace, flash):
    dataset = make_audio_dataset(workspace, samples=5)  # 1 s: 32 tokens read, 4 written
    Price.objects.filter(model=flash).update(usd=10_000)
    url = reverse("admin:evaluations_run_start_estimate")

    def said(mode):
        return text_of(evaluator.get(url, {"dataset": dataset.pk, "models": [flash.pk], "mode": mode}))

    whole = Decimal(10_000) * (32 + 4) / 1_000_000
    assert f"Cost ${whole:.2f}" in said("direct")
    assert f"Cost ${whole / 2:.2f}" in said("auto")
    assert "gemini/gemini-3.8-flash in batches" in said("batch")


def test_a_model_without_batches_cannot_be_ticked_in_batch_mode(evaluator, workspace, flash):
    dataset = make_audio_dataset(workspace, samples=1)
    url = reverse("admin:evaluations_run_start_models")
    problem = "gemini/gemini-3.5-transcribe Cannot be used: It does not work in batch mode; use direct."
    assert problem in text_of(evaluator.get(url, {"dataset": dataset.pk, "mode": "batch"}))
    assert problem not in text_of(evaluator.get(url, {"dataset": dataset.pk, "mode": "auto"}))


# --- One run ------------------------------------------------------------------------------------


def test_the_page_shows_why_a_batch_waits_and_then_the_providers_state(evaluator, workspace, gemini, flash):
    gemini.settings(batch_running_seconds=60)
    gemini.fault("batch_create", "status", status=429, message="too many batches", times=1)
    run = start_run(dataset=make_audio_dataset(workspace, samples=3), models=[flash])

    deliver_until(lambda: Batch.objects.exclude(waiting_for="").exists())
    for name in ("live", "remote"):
        said = text_of(evaluator.get(address(run, name)))
        assert "Submitting" in said
        assert "Waits: 429 RESOURCE_EXHAUSTED: too many batches" in said

    deliver_until(lambda: Batch.objects.filter(remote_state="RUNNING").exists())
    assert "Waiting for the provider (RUNNING)" in text_of(evaluator.get(address(run, "live")))
    said = text_of(evaluator.get(address(run, "remote")))
    assert f"RUNNING {Batch.objects.get().remote_name}" in said
    assert "Files: 4 alive &middot; 0 deleted &middot; 0 failed deletions" in said
    assert "too many batches" not in said


def test_files_are_followed_after_the_end_until_they_are_gone(evaluator, workspace, gemini, flash):
    gemini.fault("file_delete", "status", status=500, message="not today", times=2)
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    deliver_until(lambda: Upload.objects.filter(delete_attempts__gt=0).count() == 2)

    page = evaluator.get(address(run, "remote"))
    assert "Files: 2 alive &middot; 2 deleted &middot; 2 failed deletions" in text_of(page)
    assert "500 INTERNAL: not today" in text_of(page)
    assert 'hx-trigger="every 2s"' in page.content.decode()

    finish(run)
    page = evaluator.get(address(run, "remote"))
    assert "Files: 0 alive &middot; 4 deleted &middot; 0 failed deletions" in text_of(page)
    assert "hx-get" not in page.content.decode()


def test_lines_that_are_no_results_are_counted_at_their_batch(evaluator, workspace, gemini, flash):
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    gemini.fault("line", "unknown_key", times=1)
    finish(run)
    assert "1 line of the result file: unknown_key" in text_of(evaluator.get(page_of(run)))


def test_a_finished_run_shows_tokens_and_cost_and_its_results_show_theirs(evaluator, workspace, flash):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash], prompt="Say <it>."))
    results = Result.objects.filter(run=run)
    read, written = (sum(results.values_list(f"{side}_tokens", flat=True)) for side in ("input", "output"))
    assert f"{read} in {written} out" in text_of(evaluator.get(page_of(run)))

    one = results[0]
    said = text_of(evaluator.get(reverse("admin:evaluations_result_change", args=[one.pk])))
    assert f"Tokens {one.input_tokens} in, {one.output_tokens} out" in said
    assert re.search(r"Cost (\$0\.00\d+|&lt; \$0\.0001)", said)
    assert "Prompt Say &lt;it&gt;. Language hint en" in said


def test_the_button_collects_again_from_the_kept_file(evaluator, workspace, gemini, flash):
    run = finish(start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash]))
    Result.objects.filter(run=run).update(status="failed", reason="internal_error", hypothesis="")
    calls = gemini.state()["calls"]
    assert "Collect again" in text_of(evaluator.get(page_of(run)))

    response = evaluator.post(address(run, "collect"), follow=True)
    deliver_all()

    assert "The kept result files are read again" in text_of(response)
    assert set(Result.objects.filter(run=run).values_list("status", flat=True)) == {"completed"}
    assert gemini.state()["calls"] == calls


def test_a_run_that_kept_nothing_offers_nothing_to_collect(evaluator, workspace):
    run = make_run(workspace)
    complete(run)
    page = evaluator.get(page_of(run))
    assert "Collect again" not in text_of(page)
    assert '<section id="run-remote" hidden' in page.content.decode()
    response = evaluator.post(address(run, "collect"), follow=True)
    assert "No result file of a batch is kept for this run" in text_of(response)


def test_the_page_costs_the_same_however_many_batches_there_are(
    evaluator, workspace, flash, django_assert_max_num_queries
):
    run = start_run(dataset=make_audio_dataset(workspace, samples=2), models=[flash])
    shard = run.jobs.get().shards.get()
    Batch.objects.create(shard=shard, number=1, display_name="1")
    evaluator.get(address(run, "remote"))
    with django_assert_max_num_queries(20) as few:
        evaluator.get(page_of(run))
    for number in range(2, 12):
        Batch.objects.create(shard=shard, number=number, display_name=str(number))
    with django_assert_max_num_queries(len(few)):
        assert "Part, try" in text_of(evaluator.get(page_of(run)))
