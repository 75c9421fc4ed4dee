"""The screens of results: the list, its filters and order, and the page of one."""

import re

import pytest
from django.urls import reverse

from accounts.models import Role
from evaluations.models import Result
from tests.evaluations.factories import complete, fail, make_dataset, make_run

pytestmark = pytest.mark.django_db

LIST = reverse("admin:evaluations_result_changelist")


@pytest.fixture
def viewer(client, make_member):
    client.force_login(make_member(Role.VIEWER))
    return client


def page_of(result):
    return reverse("admin:evaluations_result_change", args=[result.pk])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def keys(response):
    return [result.sample.key for result in response.context["cl"].result_list]


@pytest.fixture
def run(workspace):
    """Three samples by one model: perfect, one word of two wrong, and failed."""
    dataset = make_dataset(workspace, references=["one two", "three four", "five six"])
    run = make_run(workspace, models=1, dataset=dataset)
    fail(Result.objects.get(run=run, sample__key="clip-0002.wav"))
    complete(run, say=lambda result: result.sample.reference.replace("four", "for"))
    return run


# --- The list -----------------------------------------------------------------------------------


def test_the_list_shows_each_results_outcome_newest_first(viewer, run):
    response = viewer.get(LIST)
    assert keys(response) == ["clip-0002.wav", "clip-0001.wav", "clip-0000.wav"]
    text = text_of(response)
    assert "50.0%" in text
    assert "three for" in text
    assert "timeout" in text


def test_the_list_shows_this_workspaces_results_only(viewer, run, other_workspace):
    theirs = make_run(other_workspace, name="Secret")
    assert len(keys(viewer.get(LIST))) == 3
    assert keys(viewer.get(LIST, {"run": theirs.pk})) == []
    assert "Secret" not in text_of(viewer.get(LIST, {"run": theirs.pk}))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"status": "failed"}, ["clip-0002.wav"]),
        ({"reason": "timeout"}, ["clip-0002.wav"]),
        ({"wer_from": "10"}, ["clip-0001.wav"]),
        ({"wer_to": "10"}, ["clip-0000.wav"]),
        ({"wer_from": "0", "wer_to": "50"}, ["clip-0001.wav", "clip-0000.wav"]),
        ({"wer_from": "much"}, ["clip-0002.wav", "clip-0001.wav", "clip-0000.wav"]),
        ({"q": "three for"}, ["clip-0001.wav"]),
        ({"q": "FIVE"}, ["clip-0002.wav"]),
        ({"q": "clip-0000"}, ["clip-0000.wav"]),
        ({"output": "empty"}, []),
        ({"tag": "noise=babble"}, ["clip-0002.wav", "clip-0001.wav", "clip-0000.wav"]),
        ({"tag": "noise=none"}, []),
        ({"tag": "a'b__c=1"}, []),
        ({"model": "scripted/model-a"}, ["clip-0002.wav", "clip-0001.wav", "clip-0000.wav"]),
        ({"model": "scripted/unknown"}, []),
        ({"run": "nonsense"}, []),
    ],
)
def test_the_list_is_narrowed_by_its_filters(viewer, run, wanted, found):
    assert keys(viewer.get(LIST, wanted)) == found


def test_results_without_a_word_are_found(viewer, workspace):
    run = make_run(workspace, models=1)
    complete(run, say=lambda result: "" if result.sample.key == "clip-0001.wav" else "hello")
    assert keys(viewer.get(LIST, {"run": run.pk, "output": "empty"})) == ["clip-0001.wav"]


def test_the_list_says_what_it_is_narrowed_to(viewer, run):
    text = text_of(viewer.get(LIST, {"run": run.pk, "wer_from": "10", "status": "completed"}))
    assert f"run: {run.name} (#{run.pk})" in text
    assert "from 10%" in text
    assert "status: Completed" in text


def test_within_a_run_the_worst_come_first_and_those_without_a_rate_last(viewer, run):
    wer = str(viewer.get(LIST).context["cl"].list_display.index("wer"))
    assert keys(viewer.get(LIST, {"run": run.pk, "o": f"-{wer}"})) == [
        "clip-0001.wav",
        "clip-0000.wav",
        "clip-0002.wav",
    ]
    assert keys(viewer.get(LIST, {"run": run.pk, "o": wer}))[-1] == "clip-0002.wav"


def test_over_all_runs_there_is_no_order_to_click(viewer, run):
    assert 'class="sortoptions' not in viewer.get(LIST).content.decode()
    assert "Choose a run under Filters" in text_of(viewer.get(LIST))
    assert re.search(r'href="\?[^"]*o=', viewer.get(LIST, {"run": run.pk}).content.decode())


def test_the_list_costs_at_most_twelve_statements_whatever_its_length(viewer, workspace, django_assert_max_num_queries):
    dataset = make_dataset(workspace, samples=120)
    run = make_run(workspace, dataset=dataset)
    complete(run)
    for asked in ({}, {"run": run.pk}, {"run": run.pk, "o": "-3", "p": 2}, {"run": run.pk, "q": "fox", "wer_to": 50}):
        with django_assert_max_num_queries(12) as queries:
            assert viewer.get(LIST, asked).context["cl"].result_list
        statements = [query["sql"] for query in queries.captured_queries]
        assert not [sql for sql in statements if "COUNT(" in sql and "evaluations_result" in sql]


def test_pages_follow_each_other_without_a_gap(viewer, workspace):
    run = make_run(workspace, samples=120, models=1)
    pages = [keys(viewer.get(LIST, {"run": run.pk, "p": page})) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [50, 50, 20]
    assert len({key for page in pages for key in page}) == 120


# --- One result ---------------------------------------------------------------------------------


def test_the_page_shows_the_words_beside_each_other(viewer, workspace):
    dataset = make_dataset(workspace, references=["one Two three four five six seven"])
    run = make_run(workspace, models=1, dataset=dataset)
    complete(run, say=lambda result: "one too three five six seven eight")

    html = viewer.get(page_of(Result.objects.get())).content.decode()

    diff = html.split('class="ev-diff"')[1].split("</section>")[0]
    read = " ".join(re.sub(r"<[^>]+>", " ", diff.partition(">")[2]).replace("&nbsp;", " ").split())
    assert read == (
        "one one substituted, reference: two hypothesis: too S three three deleted: four D five five six six "
        "seven seven inserted: eight I"
    )


def test_what_people_wrote_is_never_markup(viewer, workspace):
    dataset = make_dataset(workspace, references=["<script>alert(1)</script>"])
    run = make_run(workspace, models=1, dataset=dataset, normalizer="raw")
    complete(run, say=lambda result: "<img src=x onerror=alert(2)>")
    html = viewer.get(page_of(Result.objects.get())).content.decode()
    assert "<script>alert(1)" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html


def test_the_page_shows_raw_and_normalised_text_with_the_counts(viewer, workspace):
    dataset = make_dataset(workspace, references=["Hello, World!"])
    complete(make_run(workspace, models=1, dataset=dataset), say=lambda result: "HELLO word")
    text = text_of(viewer.get(page_of(Result.objects.get())))
    assert "As it is Hello, World! Normalised by basic v1 hello world" in text
    assert "S 1 &middot; D 0 &middot; I 0" in text or "S 1 · D 0 · I 0" in text
    assert "50.0%" in text


def test_a_failed_result_says_why_with_its_attempts(viewer, run):
    text = text_of(viewer.get(page_of(Result.objects.get(status="failed"))))
    assert "timeout" in text
    assert "The model did not answer in time." in text
    assert "The model took too long." in text
    assert "There is no hypothesis: the result is failed." in text


def test_a_sample_without_a_reference_is_shown_without_a_comparison(viewer, workspace):
    dataset = make_dataset(workspace, samples=1)
    dataset.samples.update(reference=None)
    complete(make_run(workspace, models=1, dataset=dataset), say=lambda result: "hello")
    text = text_of(viewer.get(page_of(Result.objects.get())))
    assert "This sample has no reference" in text
    assert "not scored" in text


@pytest.mark.parametrize(("reference", "said"), [("", ""), ("", "words from nowhere"), ("some words", "")])
def test_empty_texts_are_shown_too(viewer, workspace, reference, said):
    dataset = make_dataset(workspace, references=[reference or " "])
    dataset.samples.update(reference=reference)
    complete(make_run(workspace, models=1, dataset=dataset), say=lambda result: said)
    assert viewer.get(page_of(Result.objects.get())).status_code == 200


def test_a_score_of_an_older_reference_is_pointed_out(viewer, run):
    result = Result.objects.get(sample__key="clip-0000.wav")
    assert "Score the run again" not in text_of(viewer.get(page_of(result)))
    result.sample.reference, result.sample.reference_revision = "one to", 2
    result.sample.save()
    assert "revision 1 of the reference; below is revision 2" in text_of(viewer.get(page_of(result)))


def test_next_and_previous_stay_within_run_and_model(viewer, workspace):
    dataset = make_dataset(workspace, samples=3)
    run = make_run(workspace, dataset=dataset)
    make_run(workspace, dataset=dataset)
    job = run.jobs.first()
    first, second, third = Result.objects.filter(job=job).order_by("sample")

    middle = viewer.get(page_of(second)).content.decode()

    assert f'rel="prev" href="{page_of(first)}"' in middle
    assert f'rel="next" href="{page_of(third)}"' in middle
    assert 'rel="prev"' not in viewer.get(page_of(first)).content.decode()
    assert 'rel="next"' not in viewer.get(page_of(third)).content.decode()


def test_the_other_models_on_the_same_sample_are_one_click_away(viewer, workspace):
    run = make_run(workspace, samples=2)
    complete(run)
    ours, other = Result.objects.filter(run=run, sample__key="clip-0000.wav").order_by("job")
    html = viewer.get(page_of(ours)).content.decode()
    assert page_of(other) in html
    assert other.job.model_name in html


def test_the_page_costs_the_same_whatever_the_size_of_the_run(viewer, workspace, django_assert_max_num_queries):
    small, large = make_run(workspace, samples=2), make_run(workspace, samples=60)
    for run in (small, large):
        complete(run)
    with django_assert_max_num_queries(20) as few:
        viewer.get(page_of(small.results.first()))
    with django_assert_max_num_queries(len(few)):
        viewer.get(page_of(large.results.first()))


def test_another_workspaces_result_answers_like_one_that_does_not_exist(viewer, other_workspace):
    theirs = make_run(other_workspace).results.first()
    known = viewer.get(page_of(theirs), follow=True)
    unknown = viewer.get(page_of(Result(pk=theirs.pk + 1000)), follow=True)
    assert known.redirect_chain == unknown.redirect_chain != []
    assert theirs.sample.key not in text_of(known)


@pytest.mark.parametrize("name", ["add", "delete"])
def test_nobody_makes_or_deletes_a_single_result(client, make_member, run, name):
    client.force_login(make_member(Role.OWNER))
    args = [] if name == "add" else [run.results.first().pk]
    assert client.get(reverse(f"admin:evaluations_result_{name}", args=args)).status_code == 403
