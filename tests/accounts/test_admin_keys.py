"""API keys in the admin."""

import re

import pytest

from accounts.models import ApiKey, Role
from accounts.services import RoleTooHigh, create_api_key

KEYS = "/admin/accounts/apikey/"


@pytest.fixture
def as_owner(client, make_member):
    client.force_login(make_member(Role.OWNER))
    return client


def secret_on(response):
    found = re.search(r"ek-[\w-]{40,}", response.content.decode())
    return found and found.group()


def test_a_new_key_is_shown_once_and_works(as_owner, api_with):
    response = as_owner.post(f"{KEYS}add/", {"name": "ci", "role": Role.VIEWER})
    secret = secret_on(response)
    assert "never shown again" in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    assert api_with(secret).get("/api/v1/runs/").status_code == 200
    api_key = ApiKey.objects.get()
    for page in (KEYS, f"{KEYS}{api_key.pk}/change/", f"{KEYS}{api_key.pk}/history/", "/admin/password_change/"):
        shown = as_owner.get(page)
        assert shown.status_code == 200
        assert secret not in shown.content.decode()
        assert api_key.key_hash not in shown.content.decode()


def test_a_key_belongs_to_its_makers_workspace_and_names_its_maker(as_owner, workspace):
    as_owner.post(f"{KEYS}add/", {"name": "ci", "role": Role.VIEWER, "workspace": 999})
    api_key = ApiKey.objects.get()
    assert (api_key.workspace, api_key.created_by.username, api_key.role) == (workspace, "owner-speech", Role.VIEWER)


def test_a_revoked_key_is_refused(as_owner, api_with):
    secret = secret_on(as_owner.post(f"{KEYS}add/", {"name": "ci", "role": Role.VIEWER}))
    revoke = {"action": "revoke", "_selected_action": [ApiKey.objects.get().pk]}
    assert "1 revoked" in as_owner.post(KEYS, revoke, follow=True).content.decode()
    response = api_with(secret).get("/api/v1/runs/")
    assert response.status_code == 401
    assert response.json()["detail"] == "Invalid API key: it is unknown or revoked."


def test_revoking_needs_an_owner(client, make_member, workspace):
    api_key, _ = create_api_key(workspace=workspace, name="ci")
    client.force_login(make_member(Role.EVALUATOR))
    assert client.post(KEYS, {"action": "revoke", "_selected_action": [api_key.pk]}).status_code == 403
    api_key.refresh_from_db()
    assert api_key.revoked_at is None


def test_of_a_key_only_its_limit_can_be_changed(as_owner, workspace):
    api_key, _ = create_api_key(workspace=workspace, name="ci", role=Role.VIEWER)
    changed = {"name": "x", "role": Role.OWNER, "requests_per_minute": 60}
    assert as_owner.post(f"{KEYS}{api_key.pk}/change/", changed).status_code == 302
    api_key.refresh_from_db()
    assert (api_key.name, api_key.role, api_key.requests_per_minute) == ("ci", Role.VIEWER, 60)


def test_a_key_can_be_limited_from_the_start(as_owner):
    as_owner.post(f"{KEYS}add/", {"name": "ci", "role": Role.VIEWER, "requests_per_minute": 30})
    assert ApiKey.objects.get().requests_per_minute == 30
    response = as_owner.post(f"{KEYS}add/", {"name": "none", "role": Role.VIEWER, "requests_per_minute": 0})
    assert "greater than or equal to 1" in response.content.decode()


def test_a_key_cannot_be_deleted(as_owner, workspace):
    api_key, _ = create_api_key(workspace=workspace, name="ci", role=Role.VIEWER)
    assert as_owner.post(f"{KEYS}{api_key.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("role", [Role.EVALUATOR, Role.OWNER])
def test_a_key_may_not_do_more_than_its_maker(make_member, workspace, role):
    with pytest.raises(RoleTooHigh):
        create_api_key(workspace=workspace, name="ci", role=role, created_by=make_member(Role.REVIEWER))


def test_nobody_makes_a_key_for_a_workspace_that_is_not_theirs(make_member, other_workspace):
    with pytest.raises(RoleTooHigh):
        create_api_key(workspace=other_workspace, name="ci", role=Role.VIEWER, created_by=make_member(Role.OWNER))


def test_the_last_use_is_noted_and_not_written_again_within_a_minute(workspace, api_with, django_assert_num_queries):
    api_key, secret = create_api_key(workspace=workspace, name="ci")
    api_with(secret).get("/api/v1/runs/")
    api_key.refresh_from_db()
    used = api_key.last_used_at
    assert used is not None
    with django_assert_num_queries(2):  # the key, the runs
        api_with(secret).get("/api/v1/runs/")
    api_key.refresh_from_db()
    assert api_key.last_used_at == used


def test_a_key_of_somebody_who_may_no_longer_sign_in_opens_nothing(make_member, workspace, api_with):
    member = make_member(Role.EVALUATOR)
    _, secret = create_api_key(workspace=workspace, name="ci", created_by=member)
    member.is_active = False
    member.save()
    assert api_with(secret).get("/api/v1/runs/").status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "Bearer \xff", "bearer ek-nothing"])
def test_a_header_that_holds_no_valid_key_is_refused(client, db, header):
    response = client.get("/api/v1/runs/", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
