"""The schema of the REST API and its docs page."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.urls import URLResolver, get_resolver


def test_the_schema_is_valid_and_complete(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_the_schema_holds_every_address(client, db):
    schema = client.get("/api/schema/", headers={"Accept": "application/json"}).json()
    documented = {re.sub(r"{\w+}", "{}", path) for path in schema["paths"]}
    assert {re.sub(r"<[^>]+>", "{}", route) for route in addresses()} == documented


def addresses(patterns=None, prefix="/"):
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, route)
        elif route.startswith("/api/v1/"):
            yield route


def test_the_docs_page_takes_nothing_from_outside(client, db):
    page = client.get("/api/docs/").content.decode()
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert links
    assert [link for link in links if not link.startswith("/")] == []
    for link in links:
        is_file = link.startswith("/static/") and finders.find(link.split("?")[0].removeprefix("/static/"))
        assert is_file or client.get(link).status_code == 200
    assert re.findall(r"https?://[^\s\"'<]+", page) == []


@pytest.mark.parametrize("path", ["/api/docs/", "/api/schema/"])
def test_reading_about_the_api_needs_no_key(client, db, path):
    assert client.get(path).status_code == 200
