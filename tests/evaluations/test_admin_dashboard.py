"""The admin's first page."""

import re

import pytest
from django.urls import reverse

from accounts.models import Role
from tests.evaluations.factories import complete, make_dataset, make_models, make_run

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")


@pytest.fixture
def evaluator(client, make_member):
    client.force_login(make_member())
    return client


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_an_empty_workspace_is_told_its_three_next_steps(evaluator):
    text = text_of(evaluator.get(HOME))
    assert "Three steps to your first comparison" in text
    assert "Nothing is running." in text


def test_a_step_that_is_done_says_so(evaluator, workspace):
    make_dataset(workspace)
    make_models(workspace, 2)
    text = text_of(evaluator.get(HOME))
    assert "Bring audio (done)" in text
    assert "2 speech-to-text models ready to be compared." in text
    assert "Start a run (done)" not in text


def test_the_steps_are_gone_once_there_was_a_run(evaluator, workspace):
    complete(make_run(workspace))
    assert "Three steps" not in text_of(evaluator.get(HOME))


def test_it_shows_what_is_running_and_what_came_out_best(evaluator, workspace):
    done = make_run(workspace, samples=2, name="Yesterday")
    good, bad = done.jobs.order_by("model_name")
    complete(done, say=lambda result: "the quick brown fox number", job=good)
    complete(done, say=lambda result: "nothing", job=bad)
    going_on = make_run(workspace, samples=2, name="Today")
    complete(going_on, job=going_on.jobs.first())

    text = text_of(evaluator.get(HOME))

    assert re.search(r"Running now .*Today .*Running 2/4 .*Last runs .*Yesterday", text)
    assert "Lowest WER: 16.7% , scripted/model-a" in text


def test_nothing_of_another_workspace_is_counted(evaluator, other_workspace):
    complete(make_run(other_workspace, name="Secret"))
    response = evaluator.get(HOME)
    assert "Secret" not in text_of(response)
    assert (response.context["datasets"], response.context["samples"], response.context["models"]) == (0, 0, 0)


def test_a_viewer_is_not_asked_to_start_anything(client, make_member):
    client.force_login(make_member(Role.VIEWER))
    text = text_of(client.get(HOME))
    assert "Three steps" not in text
    assert "Start run" not in text


def test_it_costs_the_same_however_many_runs_there_are(evaluator, workspace, django_assert_max_num_queries):
    dataset = make_dataset(workspace)
    complete(make_run(workspace, dataset=dataset))
    with django_assert_max_num_queries(14) as few:
        evaluator.get(HOME)
    for _ in range(4):
        complete(make_run(workspace, dataset=dataset))
        make_run(workspace, dataset=dataset)
    with django_assert_max_num_queries(len(few)):
        evaluator.get(HOME)
