"""Every page of the admin, as one tenant's owner, with another tenant's ids. A model that is registered without
being scoped to its workspace fails here."""

import re

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db.models import ForeignKey
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.admin_base import WorkspaceAdmin
from accounts.models import Role
from tests.accounts.tenants import furnished

MINE, THEIRS = "acmemark", "rivalmark"
UNKNOWN_ID = 987654321

ADMINS = sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
SCOPED = [pytest.param(model, id=model._meta.label) for model, site in ADMINS if isinstance(site, WorkspaceAdmin)]
OTHERS = [pytest.param(model, id=model._meta.label) for model, site in ADMINS if not isinstance(site, WorkspaceAdmin)]


@pytest.fixture(scope="module")
def tenants(committed):
    """Both are made once: what a test does to them is rolled back."""
    return furnished(MINE), furnished(THEIRS)


@pytest.fixture
def workspace(tenants, db):
    return tenants[0]


@pytest.fixture
def member(make_member, tenants):
    return make_member(Role.OWNER)


@pytest.fixture
def owner(client, member):
    client.force_login(member)
    return client


def address(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def their_row(model, tenants):
    row = model._default_manager.for_workspace(tenants[1]).first()
    assert row is not None, f"tests/accounts/tenants.py makes no {model._meta.label}: add one"
    return row


def visit(member, method, address, pk):
    """What an own session of `member` sees at `address`: no message of an earlier page is left in it."""
    client = Client()
    client.force_login(member)
    return seen(getattr(client, method)(address), pk)


def seen(response, pk):
    """What a person can tell of an answer, apart from the id that they asked for themselves."""
    said = [str(message).replace(f"“{pk}”", "ID") for message in get_messages(response.wsgi_request)]
    body = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", response.content.decode())
    location = response.headers.get("Location", "").replace(f"/{pk}/", "/ID/")
    return response.status_code, location, said, body


@pytest.mark.parametrize("model", SCOPED)
def test_a_list_shows_no_row_of_another_tenant(owner, tenants, model):
    assert their_row(model, tenants)
    response = owner.get(address(model, "changelist"))
    assert response.status_code == 200
    assert THEIRS not in response.content.decode()


@pytest.mark.parametrize("model", SCOPED)
def test_searching_a_list_finds_no_row_of_another_tenant(owner, tenants, model):
    response = owner.get(address(model, "changelist"), {"q": THEIRS[1:-1]})
    assert THEIRS not in response.content.decode()


@pytest.mark.parametrize("model", SCOPED)
def test_filtering_a_list_by_another_tenants_row_shows_nothing_of_it(owner, tenants, model):
    for field in model._meta.get_fields():
        if isinstance(field, ForeignKey) and hasattr(field.related_model._default_manager, "for_workspace"):
            theirs = field.related_model._default_manager.for_workspace(tenants[1]).first()
            for lookup in [field.name, f"{field.name}__id__exact"]:
                response = owner.get(address(model, "changelist"), {lookup: theirs.pk}, follow=True)
                assert THEIRS not in response.content.decode()


@pytest.mark.parametrize("page", ["change", "delete", "history"])
@pytest.mark.parametrize("model", SCOPED)
def test_a_page_by_another_tenants_id_answers_as_an_unknown_id(member, tenants, model, page):
    try:
        address(model, page, UNKNOWN_ID)
    except NoReverseMatch:
        pytest.skip("there is no such page")
    pks = (their_row(model, tenants).pk, UNKNOWN_ID)
    for method in ("get", "post"):
        theirs, unknown = (visit(member, method, address(model, page, pk), pk) for pk in pks)
        assert theirs == unknown
        assert theirs[0] in (302, 403, 404)
        assert THEIRS not in str(theirs)


def own_routes():
    """Every further admin address with an id in it: (model, name)."""
    for model, site in ADMINS:
        if not isinstance(site, WorkspaceAdmin):
            continue
        for pattern in site.get_urls():
            if pattern.name and pattern.pattern.converters and "object_id" not in pattern.pattern.converters:
                yield pytest.param(model, pattern, id=pattern.name)


@pytest.mark.parametrize(("model", "pattern"), list(own_routes()))
def test_every_further_page_by_another_tenants_id_answers_as_an_unknown_id(member, tenants, model, pattern):
    (argument,) = pattern.pattern.converters
    pks = (their_row(model, tenants).pk, UNKNOWN_ID)
    for method in ("get", "post"):
        theirs, unknown = (
            visit(member, method, reverse(f"admin:{pattern.name}", kwargs={argument: pk}), pk) for pk in pks
        )
        assert theirs == unknown
        assert theirs[0] in (302, 403, 404, 405)


@pytest.mark.parametrize("model", SCOPED)
def test_the_add_form_offers_no_row_of_another_tenant(owner, tenants, model):
    response = owner.get(address(model, "add"), follow=True)
    assert THEIRS not in response.content.decode()


@pytest.mark.parametrize("model", SCOPED)
def test_the_change_form_of_an_own_row_offers_no_row_of_another_tenant(owner, tenants, model):
    row = model._default_manager.for_workspace(tenants[0]).first()
    response = owner.get(address(model, "change", row.pk), follow=True)
    assert response.status_code == 200
    assert THEIRS not in response.content.decode()


@pytest.mark.parametrize("model", SCOPED)
def test_an_action_does_nothing_to_another_tenants_row(owner, tenants, model):
    row = their_row(model, tenants)
    for action in admin.site.get_model_admin(model).actions or []:
        name = action if isinstance(action, str) else action.__name__
        owner.post(address(model, "changelist"), {"action": name, "_selected_action": [row.pk]})
    owner.post(address(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    again = model._default_manager.get(pk=row.pk)
    assert [getattr(again, field.attname) for field in model._meta.concrete_fields] == [
        getattr(row, field.attname) for field in model._meta.concrete_fields
    ]


@pytest.mark.parametrize("model", SCOPED)
def test_autocomplete_offers_no_row_of_another_tenant(owner, tenants, model):
    for source, _ in ADMINS:
        for field in source._meta.get_fields():
            if isinstance(field, ForeignKey) and field.related_model is model:
                asked = {
                    "app_label": source._meta.app_label,
                    "model_name": source._meta.model_name,
                    "field_name": field.name,
                    "term": "",
                }
                assert THEIRS not in owner.get(reverse("admin:autocomplete"), asked).content.decode()


@pytest.mark.parametrize("model", OTHERS)
def test_what_belongs_to_no_workspace_is_closed_to_owners(owner, model):
    assert owner.get(address(model, "changelist")).status_code == 403
    assert owner.get(address(model, "add")).status_code == 403


def test_the_first_page_shows_nothing_of_another_tenant(owner, tenants):
    page = owner.get(reverse("admin:index")).content.decode()
    assert THEIRS not in page


@pytest.mark.parametrize("name", ["app_list", "search"])
def test_lists_of_lists_show_nothing_of_another_tenant(owner, tenants, name):
    address = reverse(f"admin:{name}", args=["datasets"] if name == "app_list" else [])
    assert THEIRS not in owner.get(address, {"s": THEIRS[1:-1], "extended": 1}).content.decode()
