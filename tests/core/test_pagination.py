"""Cursors of REST lists: one format, and nobody's but ours."""

import json
from base64 import urlsafe_b64encode

import pytest
from django.core import signing
from django.urls import get_resolver

from accounts.models import ApiKey, Role
from core.api.pagination import Cursor, CursorPagination
from datasets.models import Dataset, ReferenceRevision, Sample
from datasets.services import edit_reference


@pytest.fixture
def owner(api_as):
    return api_as(Role.OWNER)


def lists_without_a_parent():
    """The addresses of all lists that have none before them, such as `runs/`."""
    for address, view in _all_routes():
        actions = getattr(view, "actions", {})
        if "<" not in address and actions.get("get") == "list" and view.cls.pagination_class is not None:
            yield f"/{address}"


def _all_routes():
    api = next(each for each in get_resolver().url_patterns if str(each.pattern) == "api/v1/")
    return list(_routes(api, ""))


def _routes(resolver, before):
    here = before + str(resolver.pattern)
    if not hasattr(resolver, "url_patterns"):
        yield here, resolver.callback
    else:
        for each in resolver.url_patterns:
            yield from _routes(each, here)


def encoded(text):
    return urlsafe_b64encode(text.encode()).decode()


def keyset(value, pk, ordering="-pk"):
    """A cursor as this site made them before they were signed."""
    return encoded(json.dumps({"ordering": ordering, "value": value, "pk": pk, "back": False}))


FORGED = {
    "Django REST framework's": encoded("p=5"),
    "an unsigned one": keyset(5, 5),
    "a list": keyset([1], 5),
    "NUL": keyset("\0", 5),
    "half a character": keyset("\ud800", 5),
    "5,000 digits": encoded('{"ordering": "-pk", "value": 1, "pk": ' + "9" * 5000 + ', "back": false}'),
    "nested deeply": encoded("[" * 50_000),
    "not base64": "%%%",
    "not ASCII": "\u00ff:\u00ff:\u00ff",
    "raw NUL": "\0:\0:\0",
    "signed for something else": signing.dumps([5, 5, False]),
    "signed for another list": Cursor(5, 5, False).encode("cursor of accounts.User by -pk"),
}


def test_there_are_lists_to_be_looked_at():
    assert {"/api/v1/runs/", "/api/v1/datasets/", "/api/v1/usage/", "/api/v1/keys/"} <= set(lists_without_a_parent())


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED)
def test_no_list_takes_a_cursor_that_it_has_not_made(owner, cursor):
    for address in lists_without_a_parent():
        assert owner.get(address, {"cursor": cursor}).status_code in (400, 404), address


def walk(api, address, **query):
    """The pages of a list forwards, then backwards from its end; each as its results."""
    there, page = [], api.get(address, query).json()
    while page["next"]:
        there.append(page["results"])
        page = api.get(page["next"]).json()
    there.append(page["results"])
    back = [page["results"]]
    while page["previous"]:
        page = api.get(page["previous"]).json()
        back.append(page["results"])
    return there, back[::-1]


@pytest.mark.parametrize(("address", "model"), [("/api/v1/datasets/", Dataset), ("/api/v1/keys/", ApiKey)])
def test_every_row_stands_on_one_page_forth_and_back(owner, workspace, address, model):
    for number in range(7):
        if model is Dataset:
            model.objects.create(workspace=workspace, name=str(number))
        else:
            model.objects.create(workspace=workspace, name=str(number), key_hash=str(number))
    there, back = walk(owner, address, page_size=3)
    assert there == back
    expected = sorted(model.objects.filter(workspace=workspace).values_list("pk", flat=True), reverse=True)
    assert [row["id"] for page in there for row in page] == expected


def test_a_list_ordered_by_another_column_keeps_its_order(api, workspace):
    dataset = Dataset.objects.create(workspace=workspace, name="calls")
    sample = Sample.objects.create(dataset=dataset, key="one", text="hello")
    for number in range(7):
        edit_reference(sample=sample, reference=f"text {number}", edited_by=None)
    there, back = walk(api, f"/api/v1/samples/{sample.pk}/revisions/", page_size=2)
    assert there == back
    numbers = list(ReferenceRevision.objects.order_by("-number").values_list("number", flat=True))
    assert [row["number"] for page in there for row in page] == numbers


def test_a_changed_cursor_is_refused(api, workspace):
    for number in range(2):
        Dataset.objects.create(workspace=workspace, name=str(number))
    following = api.get("/api/v1/datasets/", {"page_size": 1}).json()["next"]
    assert api.get(following).status_code == 200
    assert api.get(following.replace("cursor=", "cursor=x")).status_code == 404


def test_every_list_is_paged_the_same_way():
    for address in lists_without_a_parent():
        view = next(view for route, view in _all_routes() if f"/{route}" == address)
        assert issubclass(view.cls.pagination_class, CursorPagination)
