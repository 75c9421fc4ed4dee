"""The screens of runs: who sees them, the form that starts one, and the page that shows one."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role
from evaluations.models import Job, Result, Run
from providers.capabilities import problem_with
from providers.models import Price, ProviderThrottle, SpeechModel
from tests.evaluations.delivery import deliver_all
from tests.evaluations.factories import complete, fail, make_dataset, make_models, make_run
from tests.scripted.data import make_model

pytestmark = pytest.mark.django_db

LIST = reverse("admin:evaluations_run_changelist")
START = reverse("admin:evaluations_run_start")


@pytest.fixture
def sign_in(client, make_member):
    def sign_in(role=Role.EVALUATOR):
        client.force_login(make_member(role))
        return client

    return sign_in


@pytest.fixture
def evaluator(sign_in):
    return sign_in()


def page_of(run):
    return reverse("admin:evaluations_run_change", args=[run.pk])


def address(run, name):
    return reverse(f"admin:evaluations_run_{name}", args=[run.pk])


def text_of(response):
    """What a person reads: without tags, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def answers(form, **changes):
    """What the browser would send of a rendered start form."""
    key = re.search(r'name="idempotency_key" value="(\w+)"', form.content.decode())[1]
    return {"idempotency_key": key, "normalizer": "basic", "mode": "auto", **changes}


# --- Starting one -------------------------------------------------------------------------------


def test_the_form_starts_a_run_and_goes_to_its_page(evaluator, workspace):
    dataset, models = make_dataset(workspace), make_models(workspace)
    form = evaluator.get(START)
    sent = answers(form, dataset=dataset.pk, models=[m.pk for m in models], name="Nightly", prompt="Names: Ada")

    response = evaluator.post(START, sent)

    run = Run.objects.get()
    assert response.url == page_of(run)
    assert (run.name, run.normalizer, run.options["prompt"]) == ("Nightly", "basic", "Names: Ada")
    assert run.created_by.username == "evaluator-speech"
    assert {job.model_name for job in run.jobs.all()} == {"scripted/model-a", "scripted/model-b"}


def test_the_same_form_sent_twice_starts_one_run(evaluator, workspace):
    dataset, models = make_dataset(workspace), make_models(workspace)
    sent = answers(evaluator.get(START), dataset=dataset.pk, models=[m.pk for m in models])

    first, second = evaluator.post(START, sent), evaluator.post(START, sent)

    assert first.url == second.url == page_of(Run.objects.get())


def test_two_forms_start_two_runs(evaluator, workspace):
    dataset, [model] = make_dataset(workspace), make_models(workspace, 1)
    for _ in range(2):
        evaluator.post(START, answers(evaluator.get(START), dataset=dataset.pk, models=[model.pk]))
    assert Run.objects.count() == 2


def test_a_form_without_a_model_says_so_at_the_models(evaluator, workspace):
    dataset = make_dataset(workspace)
    response = evaluator.post(START, answers(evaluator.get(START), dataset=dataset.pk))
    assert response.context["form"].errors == {"models": ["Tick at least one model."]}
    assert "Tick at least one model." in text_of(response)


def test_a_refusal_is_shown_at_its_field(evaluator, workspace):
    dataset, [model] = make_dataset(workspace), make_models(workspace, 1)
    dataset.samples.all().delete()

    response = evaluator.post(START, answers(evaluator.get(START), dataset=dataset.pk, models=[model.pk]))

    assert response.context["form"].errors == {"dataset": ["This dataset has no samples. Add audio to it first."]}
    assert not Run.objects.exists()


def test_a_link_from_a_dataset_has_it_chosen_already(evaluator, workspace):
    dataset = make_dataset(workspace, samples=4)
    response = evaluator.get(START, {"dataset": dataset.pk})
    assert re.search(rf'<option value="{dataset.pk}" selected', response.content.decode())
    assert "Samples 4" in text_of(response)


def test_another_workspaces_datasets_and_models_are_not_in_the_form(evaluator, workspace, other_workspace):
    make_dataset(workspace, name="ours")
    theirs, [their_model] = make_dataset(other_workspace, name="theirs"), make_models(other_workspace, 1)
    form = evaluator.get(START, {"dataset": theirs.pk})
    assert "ours" in text_of(form)
    assert "theirs" not in text_of(form)

    response = evaluator.post(START, answers(form, dataset=theirs.pk, models=[their_model.pk]))

    assert set(response.context["form"].errors) == {"dataset", "models"}
    assert not Run.objects.exists()


def test_a_model_that_cannot_do_it_says_why_and_cannot_be_ticked(evaluator, workspace):
    dataset, [usable] = make_dataset(workspace), make_models(workspace, 1)
    voice, off = make_model(workspace, "voice"), make_model(workspace, "off")
    SpeechModel.objects.filter(pk=voice.pk).update(speech_to_text=False, text_to_speech=True)
    SpeechModel.objects.filter(pk=off.pk).update(is_active=False)

    form = evaluator.get(START, {"dataset": dataset.pk})

    boxes = dict(re.findall(r'<input type="checkbox" name="models" id="model-(\d+)"([^>]*)>', form.content.decode()))
    assert [pk for pk, rest in boxes.items() if "disabled" not in rest] == [str(usable.pk)]
    for model in (voice, off):
        model.refresh_from_db()
        problem = problem_with(model, task="stt")
        assert problem
        assert f"{model.public_name} Cannot be used: {problem}" in text_of(form)
    response = evaluator.post(START, answers(form, dataset=dataset.pk, models=[usable.pk, voice.pk]))
    assert set(response.context["form"].errors) == {"models"}


def test_the_estimate_adds_up_what_is_ticked(evaluator, workspace):
    dataset, models = make_dataset(workspace, samples=30), make_models(workspace)
    for model in models:
        Price.objects.create(model=model, unit="audio_minute", usd="0.30", valid_from="2020-01-01")
    url = reverse("admin:evaluations_run_start_estimate")

    text = text_of(evaluator.get(url, {"dataset": dataset.pk, "models": [m.pk for m in models]}))

    assert "Samples 30 Audio 1 min Models 2" in text
    assert "Cost $0.60" in text


def test_a_model_for_another_language_is_warned_of_and_may_be_ticked_all_the_same(evaluator, workspace):
    dataset, [model] = make_dataset(workspace), make_models(workspace, 1)
    SpeechModel.objects.filter(pk=model.pk).update(languages=["en-GB"])
    warning = "It is made for en-GB: expect many errors in"
    chosen = {"dataset": dataset.pk, "models": [model.pk]}
    estimate, models = (reverse(f"admin:evaluations_run_start_{name}") for name in ("estimate", "models"))
    assert warning not in text_of(evaluator.get(estimate, chosen))  # the dataset is English

    for url in (estimate, models):
        assert f"{warning} hi-IN." in text_of(evaluator.get(url, {**chosen, "language": "hi-IN"}))
    dataset.language = "de"
    dataset.save()
    assert f"{warning} de." in text_of(evaluator.get(START, {"dataset": dataset.pk}))

    evaluator.post(START, answers(evaluator.get(START), **chosen))
    assert Run.objects.count() == 1


def test_a_run_is_scored_again_under_the_normaliser_of_choice(evaluator, workspace):
    run = make_run(workspace, models=1, dataset=make_dataset(workspace, references=["Hello!"]))
    complete(run, say=lambda result: "hello")
    assert "Normaliser basic v1" in text_of(evaluator.get(page_of(run)))
    assert "100.0%" not in text_of(evaluator.get(page_of(run)))

    page = evaluator.post(address(run, "rescore"), {"normalizer": "raw"}).url
    deliver_all()

    said = text_of(evaluator.get(page))
    assert "Normaliser raw v1" in said
    assert "100.0%" in said
    refused = evaluator.post(address(run, "rescore"), {"normalizer": "nope"}, follow=True)
    assert "There is no normaliser &#x27;nope&#x27;. Known: basic, raw." in text_of(refused)
    assert "Normaliser basic v1" in text_of(refused)


def test_an_unknown_price_makes_the_cost_unknown_and_not_zero(evaluator, workspace):
    dataset, models = make_dataset(workspace), make_models(workspace)
    Price.objects.create(model=models[0], unit="audio_minute", usd="0.30", valid_from="2020-01-01")
    url = reverse("admin:evaluations_run_start_estimate")
    text = text_of(evaluator.get(url, {"dataset": dataset.pk, "models": [m.pk for m in models]}))
    assert "Cost unknown" in text
    assert "$0.00" not in text


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.VIEWER])
def test_who_may_not_evaluate_can_neither_see_the_form_nor_send_it(sign_in, workspace, role):
    client = sign_in(role)
    assert client.get(START).status_code == 403
    assert client.post(START, {}).status_code == 403
    assert "Start run" not in text_of(client.get(LIST))


# --- One run ------------------------------------------------------------------------------------


def test_the_page_of_a_running_run_fetches_its_progress_again(evaluator, workspace):
    run = make_run(workspace, samples=4)
    complete(run, job=run.jobs.first())

    response = evaluator.get(address(run, "live"))

    assert 'hx-trigger="every 1s"' in response.content.decode()
    assert "4 of 8 results" in text_of(response)
    assert "HX-Trigger" not in response.headers


def test_a_model_that_waits_is_told_with_its_provider_and_without_a_time_left(evaluator, workspace):
    run = make_run(workspace, samples=4)
    complete(run, job=run.jobs.first())
    waiting = run.jobs.last().model.provider
    assert "left" in text_of(evaluator.get(address(run, "live")))
    ProviderThrottle.objects.create(
        provider=waiting, backoff_until=timezone.now() + timedelta(minutes=1), message="429: slow down"
    )
    Job.objects.update(status="running")

    response = evaluator.get(address(run, "live"))

    assert "429: slow down" in text_of(response)
    assert "time left not known while models wait" in text_of(response)
    assert reverse("admin:providers_provider_change", args=[waiting.pk]) in response.content.decode()


def test_a_run_that_has_ended_is_not_fetched_again(evaluator, workspace):
    run = make_run(workspace)
    complete(run)
    response = evaluator.get(address(run, "live"))
    assert "hx-get" not in response.content.decode()
    assert response.headers["HX-Trigger"] == "run-finished"


def test_failures_are_counted_by_reason_and_the_counts_add_up(evaluator, workspace):
    run = make_run(workspace, samples=5, models=1)
    first, second = Result.objects.filter(run=run)[:2]
    fail(first, reason="timeout")
    fail(second, reason="engine_crashed")
    complete(run)

    text = text_of(evaluator.get(page_of(run)))

    assert "scripted/model-a Completed with failures 3 2 0 0 5" in text
    assert "Completed with 2 failures" in text
    assert "1 &times; timeout" in text
    assert "The engine crashed on this audio." in text
    assert "Retry 2 failed" in text


def test_the_leaderboard_names_the_best_model_and_the_normaliser(evaluator, workspace):
    run = make_run(workspace, samples=2)
    good, bad = run.jobs.order_by("model_name")
    complete(run, job=good)
    complete(run, say=lambda result: "the quick brown cat number", job=bad)

    response = evaluator.get(page_of(run))

    text = text_of(response)
    assert "Normaliser basic v1" in text
    assert re.search(r"scripted/model-a best 0\.0% .* scripted/model-b 33\.3%", text)


def test_no_model_is_called_the_best_that_another_was_scored_on_more_samples_than(evaluator, workspace):
    run = make_run(workspace, samples=2)
    lucky, bad = run.jobs.order_by("model_name")
    fail(lucky.results.order_by("pk").first(), reason="timeout")
    complete(run, job=lucky)
    complete(run, say=lambda result: "the quick brown cat number", job=bad)

    text = text_of(evaluator.get(page_of(run)))

    assert re.search(r"scripted/model-a 0\.0% .* scripted/model-b 33\.3%", text)


def test_a_viewer_sees_the_run_without_any_button(sign_in, workspace):
    run = make_run(workspace)
    client = sign_in(Role.VIEWER)
    page = client.get(page_of(run)).content.decode()
    assert run.name in page
    assert "Cancel" not in re.sub(r"Cancelled", "", page.split('id="run-live"')[1])
    assert client.post(address(run, "cancel")).status_code == 403
    assert client.post(address(run, "retry")).status_code == 403
    assert client.post(address(run, "collect")).status_code == 403


def test_cancelling_ends_what_is_pending(evaluator, workspace):
    run = make_run(workspace, samples=3, models=1)
    response = evaluator.post(address(run, "cancel"), follow=True)
    assert "The run was cancelled." in text_of(response)
    assert not Result.objects.filter(run=run).exclude(status="cancelled").exists()


def test_a_run_is_not_cancelled_by_following_a_link(evaluator, workspace):
    run = make_run(workspace)
    assert evaluator.get(address(run, "cancel")).status_code == 403
    run.refresh_from_db()
    assert run.status == "pending"


def test_retrying_tries_only_the_failed_ones_again(evaluator, workspace):
    run = make_run(workspace, samples=3, models=1)
    fail(Result.objects.filter(run=run).first())
    complete(run)

    response = evaluator.post(address(run, "retry"), follow=True)

    assert "1 failed result is tried again." in text_of(response)
    assert sorted(Result.objects.filter(run=run).values_list("status", flat=True)) == [
        "completed",
        "completed",
        "pending",
    ]


def test_a_running_run_cannot_be_deleted_and_says_why(evaluator, workspace):
    run = make_run(workspace)
    response = evaluator.post(address(run, "delete"), follow=True)
    assert "Cancel it first." in text_of(response)
    assert Run.objects.filter(pk=run.pk).exists()


def test_a_finished_run_is_deleted_after_a_question(evaluator, workspace):
    run = make_run(workspace)
    complete(run)
    assert "are deleted for good" in text_of(evaluator.get(address(run, "delete")))
    evaluator.post(address(run, "delete"))
    assert not Run.objects.exists()


@pytest.mark.parametrize("name", ["live", "remote", "leaderboard", "cancel", "retry", "collect", "rescore"])
def test_another_workspaces_run_answers_like_one_that_does_not_exist(evaluator, other_workspace, name):
    theirs = make_run(other_workspace)
    ask = evaluator.post if name in ("cancel", "retry", "collect", "rescore") else evaluator.get
    unknown = reverse(f"admin:evaluations_run_{name}", args=[theirs.pk + 1000])
    assert ask(address(theirs, name)).status_code == ask(unknown).status_code == 404


@pytest.mark.parametrize("name", ["change", "delete"])
def test_another_workspaces_run_page_answers_like_one_that_does_not_exist(evaluator, other_workspace, name):
    theirs = make_run(other_workspace, name="Secret")
    known = evaluator.get(address(theirs, name), follow=True)
    unknown = evaluator.get(reverse(f"admin:evaluations_run_{name}", args=[theirs.pk + 1000]), follow=True)
    without_id = [
        text_of(page).replace(str(pk), "ID") for page, pk in [(known, theirs.pk), (unknown, theirs.pk + 1000)]
    ]
    assert known.redirect_chain == unknown.redirect_chain
    assert "Secret" not in without_id[0]


# --- The list -----------------------------------------------------------------------------------


def test_the_list_shows_state_progress_and_failures_of_our_runs_only(evaluator, workspace, other_workspace):
    run = make_run(workspace, samples=3, models=1, name="Ours")
    fail(Result.objects.filter(run=run).first())
    make_run(other_workspace, name="Theirs")

    text = text_of(evaluator.get(LIST))

    assert "Ours" in text
    assert "Theirs" not in text
    assert "1/3" in text
    assert "scripted/model-a" in text


def test_the_list_costs_the_same_whatever_its_length(evaluator, workspace, django_assert_max_num_queries):
    dataset = make_dataset(workspace)
    for _ in range(2):
        make_run(workspace, dataset=dataset)
    with django_assert_max_num_queries(12) as few:
        evaluator.get(LIST)
    for _ in range(10):
        make_run(workspace, dataset=dataset)
    with django_assert_max_num_queries(len(few)):
        assert len(evaluator.get(LIST).context["cl"].result_list) == 12


def test_the_list_is_filtered_by_status_and_dataset(evaluator, workspace):
    done, other = make_run(workspace, name="Done"), make_run(workspace, name="Going on")
    complete(done)
    assert [r.name for r in evaluator.get(LIST, {"status__exact": "completed"}).context["cl"].result_list] == ["Done"]
    by_dataset = evaluator.get(LIST, {"dataset__id__exact": other.dataset_id}).context["cl"].result_list
    assert [r.name for r in by_dataset] == ["Going on"]
