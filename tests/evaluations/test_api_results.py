"""Results over REST."""

import io

import pytest

from datasets.models import Sample
from datasets.services import add_audio_sample
from evaluations.models import Result
from tests.audio import make_wav
from tests.evaluations.factories import complete, fail, make_dataset, make_models, make_run

pytestmark = pytest.mark.django_db


def pages(api, run, **query):
    """Every page of a run's results."""
    url, found = f"/api/v1/runs/{run.pk}/results/", []
    while url:
        page = api.get(url, query if not found else None).json()
        found.append(page)
        url = page["next"]
    return found


def results(api, run, **query):
    return [result for page in pages(api, run, **query) for result in page["results"]]


def keys(api, run, **query):
    return [result["key"] for result in results(api, run, **query)]


@pytest.fixture
def run(workspace):
    """One model, five samples: right, half wrong, wrong, failed, without a reference."""
    dataset = make_dataset(workspace, references=["one two", "three four", "five six", "seven eight", None])
    run = make_run(workspace, models=1, dataset=dataset)
    heard = {"one two": "one two", "three four": "three for", "five six": "nothing like it"}
    fail(run.results.get(sample__reference="seven eight"))
    complete(run, say=lambda result: heard.get(result.sample.reference, "unchecked"))
    return run


def test_a_result_shows_text_counts_and_costs(api, run):
    right, half, *_ = results(api, run)
    assert (right["key"], right["model"], right["status"]) == ("clip-0000.wav", "scripted/model-a", "completed")
    assert (right["reference"], right["hypothesis"], right["wer"]) == ("one two", "one two", 0.0)
    assert (half["wer"], half["hits"], half["substitutions"]) == (0.5, 1, 1)
    assert (half["audio_seconds"], half["latency"], half["cost_usd"]) == (2.0, 0.5, None)
    assert half["tags"] == {"noise": "babble"}
    assert half["language"] == "en"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"status": "failed"}, [3]),
        ({"reason": "timeout"}, [3]),
        ({"min_wer": 0.5}, [1, 2]),
        ({"max_wer": 0.5}, [0, 1]),
        ({"min_wer": 0.4, "max_wer": 0.6}, [1]),
        ({"model": "scripted/model-a"}, [0, 1, 2, 3, 4]),
        ({"model": "scripted/model-b"}, []),
        ({"tag": "noise=babble"}, [0, 1, 2, 3, 4]),
        ({"tag": "noise=street"}, []),
        ({"tag": "room=babble"}, []),
        ({"search": "NOTHING like"}, [2]),
        ({"search": "seven"}, [3]),
        ({"search": "clip-0004"}, [4]),
        ({"search": "100%"}, []),
    ],
)
def test_results_are_filtered(api, run, query, wanted):
    assert keys(api, run, **query) == [f"clip-{number:04}.wav" for number in wanted]


@pytest.mark.parametrize("query", [{"status": "x"}, {"min_wer": "x"}, {"tag": "noise"}, {"ordering": "cost"}])
def test_a_filter_that_cannot_be_understood_is_refused(api, run, query):
    response = api.get(f"/api/v1/runs/{run.pk}/results/", query)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] in query


def test_numbers_and_odd_names_are_found_as_tags_too(api, run):
    sample = Sample.objects.get(key="clip-0001.wav")
    sample.tags = {"snr": 10, "it's odd__lt": "yes"}
    sample.save()
    assert keys(api, run, tag="snr=10") == ["clip-0001.wav"]
    assert keys(api, run, tag="it's odd__lt=yes") == ["clip-0001.wav"]


# --- Order and pages ----------------------------------------------------------------------------


@pytest.fixture
def tied_run(workspace):
    """Twelve samples of few different rates, times and lengths; some have none."""
    run = make_run(workspace, models=1, dataset=make_dataset(workspace, references=["a b c d"] * 9 + [None] * 3))
    complete(run, say=lambda result: ["a b c d", "a b c x", "a b x x"][result.pk % 3])
    for number, result in enumerate(run.results.order_by("pk")):
        Result.objects.filter(pk=result.pk).update(
            latency=[None, 0.1, 0.1, 1 / 3][number % 4], audio_seconds=[1.5, None][number % 2]
        )
    return run


def value_of(result, ordering):
    return result[{"duration": "audio_seconds"}.get(ordering, ordering)]


@pytest.mark.parametrize("page_size", [1, 2, 5, 50])
@pytest.mark.parametrize("ordering", ["wer", "-wer", "duration", "-duration", "latency", "-latency", "key", "-key"])
def test_pages_in_any_order_hold_each_result_once(api, tied_run, ordering, page_size):
    found = results(api, tied_run, ordering=ordering, page_size=page_size)
    assert sorted(result["id"] for result in found) == sorted(tied_run.results.values_list("pk", flat=True))
    values = [value_of(result, ordering.removeprefix("-")) for result in found]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=ordering.startswith("-"))


@pytest.mark.parametrize("ordering", ["", "wer", "-wer", "-latency", "duration", "-key"])
def test_the_way_back_shows_the_same_pages(api, tied_run, ordering):
    there = pages(api, tied_run, **({"ordering": ordering} if ordering else {}), page_size=5)
    back, url = [], there[-1]["previous"]
    while url:
        page = api.get(url).json()
        back.append(page["results"])
        url = page["previous"]
    assert back == [page["results"] for page in reversed(there[:-1])]
    assert there[0]["previous"] is None


def test_a_page_does_not_shift_when_results_come_in_before_it(api, tied_run):
    address = f"/api/v1/runs/{tied_run.pk}/results/"
    first = api.get(address, {"ordering": "latency", "page_size": 4}).json()
    expected = api.get(first["next"]).json()["results"]
    gone = first["results"][0]["id"]
    Result.objects.filter(pk=gone).update(latency=0.0)
    assert api.get(first["next"]).json()["results"] == expected


@pytest.mark.parametrize("cursor", ["x", "e30=", "bnVsbA==", "", "ÿ", "WzFd"])
def test_a_made_up_cursor_is_no_crash(api, run, cursor):
    assert api.get(f"/api/v1/runs/{run.pk}/results/", {"cursor": cursor}).status_code in (200, 404)


def test_a_cursor_of_another_order_is_refused(api, tied_run):
    address = f"/api/v1/runs/{tied_run.pk}/results/"
    next_page = api.get(address, {"ordering": "wer", "page_size": 2}).json()["next"]
    assert api.get(next_page.replace("ordering=wer", "ordering=key")).status_code == 404


def test_a_page_has_at_most_200_results(api, workspace):
    run = make_run(workspace, samples=205, models=1)
    assert [len(page["results"]) for page in pages(api, run, page_size=1000)] == [200, 5]


def test_a_page_costs_the_same_however_long_it_is(api, workspace, django_assert_num_queries):
    run = make_run(workspace, samples=100, models=1)
    complete(run)
    api.get("/api/v1/runs/")
    for size in (1, 100):
        for ordering in ("id", "-wer"):
            with django_assert_num_queries(3):  # key, run, results
                api.get(f"/api/v1/runs/{run.pk}/results/", {"page_size": size, "ordering": ordering})


# --- One result ---------------------------------------------------------------------------------


def test_one_result_shows_the_attempts_that_failed(api, run):
    failed = run.results.get(status="failed")
    shown = api.get(f"/api/v1/results/{failed.pk}/").json()
    assert (shown["status"], shown["reason"], shown["error"]) == ("failed", "timeout", "The model took too long.")
    [attempt] = shown["failed_attempts"]
    assert (attempt["number"], attempt["reason"], attempt["latency"]) == (1, "timeout", 3.0)


def test_an_alignment_shows_each_word(api, run):
    half = run.results.get(sample__key="clip-0001.wav")
    assert api.get(f"/api/v1/results/{half.pk}/alignment/").json() == [
        {"op": "equal", "ref": "three", "hyp": "three"},
        {"op": "sub", "ref": "four", "hyp": "for"},
    ]


def test_an_alignment_can_be_had_under_another_normaliser(api, workspace):
    run = make_run(workspace, models=1, dataset=make_dataset(workspace, references=["Hello!"]))
    complete(run, say=lambda result: "hello")
    address = f"/api/v1/results/{run.results.get().pk}/alignment/"
    assert api.get(address).json() == [{"op": "equal", "ref": "hello", "hyp": "hello"}]
    assert api.get(address, {"normalizer": "raw"}).json() == [{"op": "sub", "ref": "Hello!", "hyp": "hello"}]
    assert api.get(address, {"normalizer": "x"}).status_code == 400


@pytest.mark.parametrize("key", ["clip-0003.wav", "clip-0004.wav"])
def test_there_is_nothing_to_align_without_both_texts(api, run, key):
    result = run.results.get(sample__key=key)
    assert api.get(f"/api/v1/results/{result.pk}/alignment/").status_code == 409


def test_the_audio_is_the_samples_and_seeks(api, workspace):
    dataset = make_dataset(workspace, samples=0)
    clip = make_wav()
    add_audio_sample(dataset=dataset, file=io.BytesIO(clip), filename="clip.wav", reference="hello")
    run = make_run(workspace, models=1, dataset=dataset)
    address = api.get(f"/api/v1/results/{run.results.get().pk}/").json()["audio_url"]
    assert b"".join(api.get(address).streaming_content) == clip
    part = api.get(address, headers={"Range": "bytes=4-7", "Accept": "audio/*"})
    assert part.status_code == 206
    assert b"".join(part.streaming_content) == clip[4:8]


def test_several_models_are_told_apart(api, workspace):
    make_models(workspace, 2)
    run = make_run(workspace, samples=2, models=2)
    assert len(results(api, run)) == 4
    assert {result["model"] for result in results(api, run, model="scripted/model-b")} == {"scripted/model-b"}
