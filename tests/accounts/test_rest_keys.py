"""API keys over REST."""

import pytest

from accounts.models import ApiKey, Role
from accounts.services import create_api_key

KEYS = "/api/v1/keys/"


@pytest.fixture
def owner(api_as):
    return api_as(Role.OWNER)


@pytest.fixture
def key(workspace):
    return create_api_key(workspace=workspace, name="website", requests_per_minute=60)[0]


def test_a_new_key_is_told_once_and_works(owner, api_with):
    made = owner.post(KEYS, {"name": "ci", "role": "viewer", "requests_per_minute": 30})
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    secret = made.json()["secret"]
    assert api_with(secret).get("/api/v1/runs/").status_code == 200
    for address in (KEYS, made.headers["Location"]):
        shown = owner.get(address).content.decode()
        assert '"name":"ci"' in shown
        assert secret not in shown
        assert ApiKey.objects.get(name="ci").key_hash not in shown


def test_a_key_made_by_a_person_is_theirs_and_never_above_their_role(client, make_member, workspace):
    client.force_login(make_member(Role.OWNER))
    made = client.post(KEYS, {"name": "ci", "role": "owner"}, content_type="application/json").json()
    assert (made["created_by"], made["role"]) == (f"owner-{workspace.slug}", "owner")


def test_a_limit_is_changed_and_taken_away(owner, key):
    address = f"{KEYS}{key.pk}/"
    assert owner.patch(address, {"requests_per_minute": 5}).json()["requests_per_minute"] == 5
    assert owner.patch(address, {"requests_per_minute": None}).json()["requests_per_minute"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": 10**12}, "requests_per_minute"),
        ({}, "requests_per_minute"),
        ({"requests_per_minute": 5, "role": "owner"}, "role"),
    ],
)
def test_nothing_but_a_sensible_limit_can_be_changed(owner, key, body, field):
    response = owner.patch(f"{KEYS}{key.pk}/", body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field)
    key.refresh_from_db()
    assert (key.requests_per_minute, key.role) == (60, Role.EVALUATOR)


def test_a_revoked_key_opens_nothing_and_stays_in_the_list(owner, api_with):
    made = owner.post(KEYS, {"name": "ci"}).json()
    assert owner.delete(f"{KEYS}{made['id']}/").status_code == 204
    assert api_with(made["secret"]).get("/api/v1/runs/").status_code == 401
    assert owner.get(f"{KEYS}{made['id']}/").json()["revoked_at"]


def test_keys_are_for_owners(api, key):
    for method, address in [("get", KEYS), ("post", KEYS), ("get", f"{KEYS}{key.pk}/"), ("delete", f"{KEYS}{key.pk}/")]:
        assert getattr(api, method)(address, {}).status_code == 403
