"""An owner learns nothing of people outside the organization, not even that they are there."""

import re

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Organization, Role, User, Workspace

MEMBERS = "/admin/accounts/membership/"
UNKNOWN_ID = 987654321


def session_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner(make_member):
    return make_member(Role.OWNER)


@pytest.fixture
def root(workspace):
    return User.objects.create_superuser("site-admin", "site-admin@example.com", "pw")


@pytest.fixture
def stranger(other_workspace):
    user = User.objects.create_user("stranger", "stranger@example.com")
    Membership.objects.create(user=user, workspace=other_workspace)
    return user


def add(client, name):
    """The page that answers, without what was typed."""
    page = client.post(f"{MEMBERS}add/", {"name": name, "role": Role.VIEWER}, follow=True).content.decode()
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", page).replace(name, "NAME")


@pytest.mark.parametrize(
    "name", ["stranger", "stranger@example.com", "site-admin", "site-admin@example.com", "former-member"]
)
def test_somebody_outside_answers_as_nobody(owner, stranger, root, name):
    User.objects.create_user("former-member", last_login=timezone.now())
    assert add(session_of(owner), name) == add(session_of(owner), "nobody")
    assert Membership.objects.for_workspace(owner.workspaces.get()).count() == 1


def test_an_email_address_that_a_stranger_has_too_finds_the_own_one(owner, stranger, workspace):
    User.objects.create_user("new", "stranger@example.com")
    assert "was added successfully" in add(session_of(owner), "stranger@example.com")
    assert Membership.objects.filter(workspace=workspace, user__username="new").exists()


def test_people_of_another_workspace_of_the_organization_can_be_added(owner, stranger, workspace):
    sibling = Workspace.objects.create(organization=workspace.organization, name="Sibling", slug="sibling")
    Membership.objects.create(user=stranger, workspace=sibling)
    assert "was added successfully" in add(session_of(owner), "stranger")


def test_a_superuser_adds_anybody(root, stranger, workspace, other_workspace):
    client = session_of(root)
    client.post("/admin/accounts/workspace/switch/", {"workspace": workspace.slug})
    assert "was added successfully" in add(client, "stranger")


def answer_to(user, method, address, pk):
    client = session_of(user)
    response = getattr(client, method)(address)
    said = [str(message).replace(str(pk), "ID") for message in get_messages(response.wsgi_request)]
    location = response.headers.get("Location", "").replace(str(pk), "ID")
    return response.status_code, location, said


@pytest.mark.parametrize("page", ["change", "delete", "history", "password"])
@pytest.mark.parametrize("model", [User, Organization, Workspace])
def test_what_is_the_sites_own_answers_as_what_is_not_there(owner, stranger, model, page):
    for row in model.objects.all():
        for method in ("get", "post"):
            found, missing = (
                answer_to(owner, method, f"/admin/accounts/{model._meta.model_name}/{pk}/{page}/", pk)
                for pk in (row.pk, UNKNOWN_ID)
            )
            assert found == missing
            assert found[0] in (302, 403, 404)
            assert str(row) not in str(found)


def test_a_superuser_still_reads_histories(root, stranger):
    response = session_of(root).get(f"/admin/accounts/user/{stranger.pk}/history/")
    assert response.status_code == 200
