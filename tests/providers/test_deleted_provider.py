"""What is left when a provider is deleted: every result, on every page."""

import pytest
from django.urls import reverse

from accounts.models import Role
from evaluations.models import Result, Run
from providers.models import Provider, SpeechModel
from tests.evaluations.factories import complete, fail, make_run


@pytest.fixture
def run(workspace):
    """Of two models: one of its results failed, the others are completed and scored."""
    run = make_run(workspace, samples=3, models=2)
    fail(Result.objects.filter(run=run).first())
    complete(run)
    return run


@pytest.fixture
def owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


@pytest.fixture
def rest(api_as):
    return api_as(Role.OWNER)


def delete_provider(owner):
    page = reverse("admin:providers_provider_delete", args=[Provider.objects.get().pk])
    asked = owner.get(page)
    assert asked.status_code == 200
    assert owner.post(page, {"post": "yes"}).status_code == 302
    assert not Provider.objects.exists()
    assert not SpeechModel.objects.exists()


def test_results_stay_readable_in_the_admin(owner, run):
    result = Result.objects.filter(run=run, status="completed").first()
    pages = [
        reverse("admin:evaluations_run_changelist"),
        reverse("admin:evaluations_run_change", args=[run.pk]),
        reverse("admin:evaluations_result_changelist") + f"?run={run.pk}",
        reverse("admin:evaluations_result_change", args=[result.pk]),
    ]
    delete_provider(owner)
    for page in pages:
        shown = owner.get(page)
        assert shown.status_code == 200
    assert "scripted/model-a" in owner.get(pages[1]).content.decode()
    assert "scripted/model-a" in owner.get(pages[2]).content.decode()
    assert "scripted/model-a" in owner.get(pages[3]).content.decode()


def test_results_stay_readable_by_rest_and_the_numbers_are_the_same(owner, rest, run):
    run = Run.objects.get(pk=run.pk)
    result = Result.objects.filter(run=run, status="completed").first()
    paths = [f"runs/{run.pk}/", f"runs/{run.pk}/results/", f"runs/{run.pk}/leaderboard/"]
    paths += [f"results/{result.pk}/", f"results/{result.pk}/alignment/"]
    before = [rest.get(f"/api/v1/{path}").json() for path in paths]
    delete_provider(owner)
    after = [rest.get(f"/api/v1/{path}") for path in paths]
    assert [answer.status_code for answer in after] == [200] * len(paths)
    assert [answer.json() for answer in after] == before
    export = rest.get(f"/api/v1/runs/{run.pk}/export/?file_format=csv")
    assert b"scripted/model-a" in b"".join(export.streaming_content)


def test_a_failed_result_still_says_what_to_do(owner, run):
    failed = Result.objects.get(run=run, status="failed")
    delete_provider(owner)
    page = owner.get(reverse("admin:evaluations_result_change", args=[failed.pk])).content.decode()
    assert "Retry; if it happens again, shorten the audio." in page
