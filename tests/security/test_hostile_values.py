"""Values that no form offers, at every list and page: each is refused or finds nothing; none is a server's error."""

import json
import re
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from tests.accounts.tenants import furnish
from tests.accounts.test_rest_tenancy import ROWS, methods_of, path_of, routes, row_of

SLOW_PATTERN = "(a+)+$"
HUGE = "9" * 26
VALUES = ["a\0b", "\ud800", HUGE, "-1", "nan"]


def query(name, value):
    return f"{quote(name)}={quote(value, errors='surrogatepass')}"


CONTROLS = ["q", "p", "o", "e", "all", "_to_field", "_popup", "_facets", "ot"]


@pytest.fixture
def people(workspace, make_member):
    """A member who is an owner, and the site's superuser, each signed in."""
    furnish(workspace, "acmemark")
    owner, superuser = make_member(Role.OWNER), User.objects.create_superuser("root", password="pw")
    clients = [Client(raise_request_exception=False), Client(raise_request_exception=False)]
    for client, person in zip(clients, (owner, superuser), strict=True):
        client.force_login(person)
    return clients


def name_of(model, page):
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


def lookups(model):
    """What could be asked of each column, and of what it refers to."""
    for field in model._meta.get_fields():
        yield f"{field.name}__regex", SLOW_PATTERN
        yield f"{field.name}__startswith", "a"
        if field.is_relation and field.related_model:
            for far in field.related_model._meta.concrete_fields:
                yield f"{field.name}__{far.name}__iregex", SLOW_PATTERN


def test_an_admin_list_takes_no_look_up_that_its_filters_do_not_use(people):
    asked = 0
    for model in admin.site._registry:
        address = reverse(name_of(model, "changelist"))
        for lookup, value in lookups(model):
            for client in people:
                status = client.get(f"{address}?{query(lookup, value)}").status_code
                assert status in (400, 403), (address, lookup)
                asked += status == 400
    assert asked > 300


def test_hidden_columns_cannot_be_read_letter_by_letter(people):
    owner, _ = people
    address = reverse("admin:providers_provider_changelist")
    for lookup in ("credential_encrypted__startswith", "credential_encrypted", "credential_encrypted__gt"):
        assert owner.get(address, {lookup: "g"}).status_code == 400


def test_filters_of_admin_lists_take_any_value(people, rf):
    for model, site in admin.site._registry.items():
        address = reverse(name_of(model, "changelist"))
        request = rf.get(address)
        request.user, request.access = User.objects.get(username="root"), None
        names = {name for declared in site.get_list_filter(request) for name in site._parameters(declared)}
        for name in [*sorted(names), *CONTROLS]:
            for value in VALUES:
                for client in people[-1:]:
                    response = client.get(f"{address}?{query(name, value)}")
                    assert response.status_code < 500, (address, name, value)


def test_pages_of_one_row_take_any_id_and_have_a_history(people, workspace):
    for model in admin.site._registry:
        rows = model._default_manager
        row = rows.for_workspace(workspace).first() if hasattr(rows, "for_workspace") else rows.first()
        for page in ("change", "delete", "history"):
            for key in [row.pk, HUGE, "0", "-1", "x", "1e9", "_5F", "a_00b"]:
                for client in people:
                    response = client.get(reverse(name_of(model, page), args=[key]))
                    assert response.status_code < 500, (model, page, key)


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "messages"])
def test_a_cookie_may_hold_anything(people, name):
    owner, _ = people
    owner.cookies[name] = "a\0b"
    assert owner.get(reverse("admin:index")).status_code in (200, 302, 400)


def test_rest_lists_take_any_value_of_any_filter(api_as, people):
    owner = api_as(Role.OWNER)
    owner.raise_request_exception = False
    schema = owner.get("/api/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json").json()
    for pattern, route in routes():
        if "get" not in methods_of(pattern) or "<" in route:
            continue
        names = {each["name"] for each in schema["paths"][route]["get"].get("parameters", []) if each["in"] == "query"}
        for name in sorted(names | {"ordering", "cursor", "page_size", "search", "nothing"}):
            for value in VALUES:
                response = owner.get(f"{route}?{query(name, value)}")
                assert response.status_code < 500, (route, name, value)
                assert response.status_code < 400 or response.json()["status"] == response.status_code


BODIES = ["\0", "a\0b", "\ud800", 10**30, 1e308 * 10, [], {}, None, True, -1, "x" * 70_000, [[["\0"]]], {"\0": 1}]


def test_rest_bodies_take_any_value_in_any_field(api_as, people, workspace):
    """Each field of each body, one after the other, with the others as they should be or missing."""
    owner = api_as(Role.OWNER)
    owner.raise_request_exception = False
    schema = owner.get("/api/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json").json()
    asked = 0
    for pattern, route in routes():
        kind = route.removeprefix("/api/v1/").split("/")[0]
        address = path_of(route, row_of(route, workspace).pk) if "<" in route and kind in ROWS else route
        template = re.sub(r"<int:(\w+)>", r"{\1}", route).replace("{pk}", "{id}")
        for method in methods_of(pattern):
            body = schema["paths"].get(template, {}).get(method, {}).get("requestBody", {}).get("content", {})
            if method in ("get", "delete") or "application/json" not in body:
                continue
            reference = body["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
            fields = schema["components"]["schemas"].get(reference, {}).get("properties", {})
            for field in [*fields, "nothing"]:
                for value in BODIES:
                    sent = json.dumps({field: value})
                    response = getattr(owner, method)(address, sent, content_type="application/json")
                    assert response.status_code < 500, (method, address, field, value)
                    asked += 1
    assert asked > 300


def test_what_no_database_takes_is_refused_at_the_border(api_as):
    owner = api_as(Role.OWNER)
    for sent in (
        '{"name": "a\\u0000b"}',
        '{"name": "\\ud800"}',
        '{"name": "x", "nested": [{"\\udfff": 1}]}',
        '{"a": 1e999}',
    ):
        response = owner.post("/api/v1/datasets/", sent, content_type="application/json")
        assert response.status_code == 400
        assert "cannot be stored" in response.json()["detail"]
    assert owner.get("/api/v1/datasets/").json()["results"] == []
