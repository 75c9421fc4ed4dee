"""Every address of the REST API, with another tenant's ids. An endpoint that is added without being scoped to its
workspace fails here, as does one that this test does not know how to ask."""

import re

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey, Role
from datasets.models import Dataset, Import, Sample
from evaluations.models import Result, Run
from gateway.models import Budget, ModelAlias
from providers.models import Provider, SpeechModel
from tests.accounts.tenants import furnished
from voice.models import RealtimeSession, VoicePipeline

MINE, THEIRS = "acmemark", "rivalmark"
UNKNOWN_ID = 987654321
# What the id in an address is of, by the address's first part.
ROWS = {
    "keys": ApiKey,
    "datasets": Dataset,
    "samples": Sample,
    "imports": Import,
    "runs": Run,
    "results": Result,
    "providers": Provider,
    "models": SpeechModel,
    "budgets": Budget,
    "aliases": ModelAlias,
    "pipelines": VoicePipeline,
    "sessions": RealtimeSession,
}


def routes(patterns=None, prefix="/"):
    """Every address under /api/v1/: (template such as /api/v1/runs/{}/, number of ids, methods)."""
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        route = prefix + str(pattern.pattern).lstrip("^").rstrip("$")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("/api/v1/"):
            yield pattern, route


def methods_of(pattern):
    view = pattern.callback
    names = getattr(view, "actions", None) or [
        name for name in ("get", "post", "put", "patch", "delete") if hasattr(view.cls, name)
    ]
    return [name for name in names if name in ("get", "post", "put", "patch", "delete")]


def cases(with_id):
    for pattern, route in routes():
        if ("<" in route) == with_id:
            for method in methods_of(pattern):
                yield pytest.param(pattern, route, method, id=f"{method} {route}")


def path_of(route, value):
    """The address with its one id filled in."""
    filled, count = re.subn(r"<[^>]+>", str(value), route)
    assert count == 1, f"this test can ask only addresses with one <id>: {route}"
    return filled


@pytest.fixture(scope="module")
def tenants(committed):
    """Both are made once: what a test does to them is rolled back."""
    return furnished(MINE), furnished(THEIRS)


@pytest.fixture
def workspace(tenants, db):
    return tenants[0]


@pytest.fixture
def owner(api_as, tenants):
    return api_as(Role.OWNER)


def row_of(route, workspace):
    kind = route.removeprefix("/api/v1/").split("/")[0]
    assert kind in ROWS, f"say in ROWS what the id in {route} is of"
    row = ROWS[kind].objects.for_workspace(workspace).first()
    assert row is not None
    return row


def text_of(response):
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return body.decode("utf-8", "replace")


@pytest.mark.parametrize(("pattern", "route", "method"), list(cases(with_id=True)))
def test_another_tenants_id_answers_as_an_unknown_id(owner, tenants, pattern, route, method):
    their_id = row_of(route, tenants[1]).pk
    theirs, unknown = (getattr(owner, method)(path_of(route, pk)) for pk in (their_id, UNKNOWN_ID))
    assert (theirs.status_code, text_of(theirs)) == (unknown.status_code, text_of(unknown))
    assert theirs.status_code == 404


@pytest.mark.parametrize(("pattern", "route", "method"), list(cases(with_id=False)))
def test_a_list_shows_no_row_of_another_tenant(owner, tenants, pattern, route, method):
    if method == "get":
        for query in [{}, {"search": THEIRS[1:-1]}]:
            response = owner.get(route, query)
            assert response.status_code == 200
            assert THEIRS not in text_of(response)


@pytest.mark.parametrize(("pattern", "route", "method"), list(cases(with_id=True)))
def test_what_belongs_to_an_own_row_shows_nothing_of_another_tenant(owner, tenants, pattern, route, method):
    if method == "get" and not route.endswith(("/audio/", "/events/")):
        response = owner.get(path_of(route, row_of(route, tenants[0]).pk))
        assert response.status_code == 200
        assert THEIRS not in text_of(response)


@pytest.mark.parametrize(("pattern", "route", "method"), [*cases(with_id=True), *cases(with_id=False)])
def test_nobody_gets_in_without_a_key(client, tenants, pattern, route, method):
    address = path_of(route, row_of(route, tenants[0]).pk) if "<" in route else route
    response = getattr(client, method)(address)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("pattern", "route", "method"), [*cases(with_id=True), *cases(with_id=False)])
def test_a_viewer_changes_nothing(api_as, tenants, pattern, route, method):
    if method != "get":
        address = path_of(route, row_of(route, tenants[0]).pk) if "<" in route else route
        assert getattr(api_as(Role.VIEWER), method)(address).status_code == 403


def test_the_whole_api_is_walked():
    assert len(list(routes())) > 15
